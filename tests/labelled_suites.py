"""Small labelled suites in every layout: a quiet sine with planted bursts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

BURST = slice(300, 312)
"""Rows of the burst in a series of 400; of a test part of 200 they are the rows 100 … 111."""


def burst(seed: int, n_metric: int = 1, height: float = 4.0) -> np.ndarray:
    """(400, n_metric): period 20, noise, and a burst of the first metric."""
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * np.arange(400) / 20)[:, None]
    values = wave + rng.normal(0, 0.1, (400, n_metric))
    values[BURST, 0] += height
    return values


def labels() -> np.ndarray:
    marked = np.zeros(400, dtype=np.int8)
    marked[BURST] = 1
    return marked


def write_series(folder: Path, n: int = 3) -> Path:
    """x, y, window, train; with published figures in the folder above."""
    folder.mkdir(parents=True)
    for number in range(n):
        np.savez(
            folder / f"case {number}.npz",
            x=burst(number)[:, 0].astype(np.float32),
            y=labels(),
            window=20,
            train=200,
        )
    rows = [f"case {number}.csv,0.{number + 1},,Sine" for number in range(n)]
    table = "\n".join([",Peer,Silent,ds", *rows, "another.csv,0.9,0.9,Sine"])
    (folder.parent / "sines_published_vus_pr.csv").write_text(table)
    return folder


def write_split(folder: Path, n_metric: int = 1, n: int = 2) -> Path:
    """train, test, test_y; several metrics with what caused each segment."""
    folder.mkdir(parents=True)
    for number in range(n):
        values = burst(number, n_metric).astype(np.float32)
        values = values[:, 0] if n_metric == 1 else values
        times = {"t0": 1_700_000_000, "step": 300} if n_metric == 1 else {}
        np.savez(
            folder / f"{number}.npz",
            train=values[:200],
            test=values[200:],
            test_y=labels()[200:],
            **times,
        )
        if n_metric > 1:
            (folder / f"{number}.interpretation.txt").write_text("100-112:1\n")
    return folder


def write_stream(folder: Path, n: int = 2) -> Path:
    """CSV files with windows of times, the last file quiet and without any; and published scores."""
    start, step = datetime(2026, 1, 5), timedelta(minutes=5)
    windows = {}
    for number in range(n):
        file = folder / "data" / "kind" / f"{number}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        labelled = number < n - 1
        values = burst(number, height=4.0 if labelled else 0.0)[:, 0]
        lines = [f"{start + row * step},{value}" for row, value in enumerate(values)]
        file.write_text("\n".join(["timestamp,value", *lines]) + "\n")
        span = [f"{start + row * step}.000000" for row in (BURST.start, BURST.stop - 1)]
        windows[f"kind/{number}.csv"] = [span] if labelled else []
    (folder / "combined_windows.json").write_text(json.dumps(windows))
    peers = {"scores": {"Peer": {"standard": 70.0, "low_FP": 60.0, "low_FN": 75.0}}}
    (folder / "peers").mkdir()
    (folder / "peers" / "expected.json").write_text(json.dumps(peers))
    return folder


def write_table(folder: Path) -> Path:
    """X, y: 30 rows of 300 are far out."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)), np.zeros(300, dtype=np.int8)
    y[::10] = 1
    x[::10] += 6.0
    np.savez(folder / "rows.npz", X=x.astype(np.float32), y=y)
    return folder


def write_all(folder: Path) -> Path:
    """Every layout in a folder of its own, and one that is no suite."""
    write_series(folder / "sines")
    write_split(folder / "metrics", n_metric=3)
    write_stream(folder / "live")
    write_table(folder / "rows")
    (folder / "forecasts").mkdir()
    np.savez(folder / "forecasts" / "Weekly.npz", ids=np.array(["W1"]), values=np.zeros(3))
    return folder
