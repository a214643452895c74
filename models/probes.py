"""The self-test of a version: rows it must score as it did when it was published."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from core import artifact
from core.contracts import (
    Algorithm,
    Classifier,
    Detector,
    Floats,
    Forecaster,
    Panel,
    Periods,
    State,
)
from core.errors import InvalidInputError, SelfTestError
from models.manifest import Manifest

PROBES = "probes.safetensors"
ROWS, PERIODS, HORIZON = 16, 30, 14
SAME, ELSEWHERE = 1e-9, 1e-5
"""Tolerance of the self-test: same libraries and machine; others. An algorithm may state a wider one of its own."""
SLACK = {"ensemble": 0.31}
"""Absolute tolerance of scores that are −log10 of a calibrated p-value: the last bit of a part's score may move
it one rank, and p by up to a factor of two where few scores calibrate."""


def rows(panel: Panel) -> Panel:
    """Up to 16 entities spread over the panel, their latest 30 periods."""
    count = min(ROWS, len(panel.entities))
    chosen = np.linspace(0, len(panel.entities) - 1, count).astype(int)
    return panel.select(
        entities=[panel.entities[row] for row in chosen], times=slice(-PERIODS, None)
    )


def outcome(algorithm: Algorithm, probe: Panel) -> Floats:
    """What the algorithm says of the probe rows: scores, forecasts or probabilities."""
    if isinstance(algorithm, Detector):
        return algorithm.score(probe)
    if isinstance(algorithm, Forecaster):
        ahead = algorithm.forecast(probe, HORIZON)
        return np.concatenate([algorithm.predict(probe), ahead], axis=1)
    if isinstance(algorithm, Classifier):
        return algorithm.predict_proba(probe)
    rule = "a detector, a forecaster or a classifier"
    raise InvalidInputError.of("registry", "the algorithm", rule, algorithm.name)


def check(algorithm: Algorithm, probe: Panel, expected: Floats, tolerance: float) -> None:
    """Refuse (SelfTestError) an algorithm that says something else of the probe rows than was expected."""
    got = outcome(algorithm, probe)
    tolerance = max(tolerance, algorithm.tags.tolerance)
    slack = SLACK.get(algorithm.kind, tolerance)
    same = got.shape == expected.shape and np.allclose(
        got, expected, rtol=tolerance, atol=slack, equal_nan=True
    )
    if not same:
        raise SelfTestError.of(
            algorithm.name,
            "the scores of the probe rows",
            f"those it was published with (within {max(tolerance, slack):g})",
            got.shape if got.shape != expected.shape else float(np.nanmax(np.abs(got - expected))),
            samples=expected.size,
        )


def pack(probe: Panel, expected: Floats) -> bytes:
    """The probe rows with what was said of them; their names stand in the manifest."""
    labels = probe.periods.labels.astype("datetime64[s]").astype(np.int64)
    padded = np.zeros(probe.values.shape[:2], bool) if probe.padded is None else probe.padded
    state: State = {
        "values": probe.values,
        "padded": padded.astype(np.uint8),
        "labels": labels,
        "step": np.array([probe.periods.step / np.timedelta64(1, "s")]),
        "expected": expected,
    }
    if probe.words:
        words = {name: column.tolist() for name, column in probe.words.items()}
        state = {**state, "words": np.frombuffer(json.dumps(words).encode(), np.uint8)}
    (data,) = artifact.pack(state).values()
    return data


def unpack(data: bytes, manifest: Manifest) -> tuple[Panel, Floats]:
    """What `pack` wrote, with the names that the manifest keeps."""
    state: Any = artifact.unpack({"arrays.safetensors": data})
    step = np.timedelta64(int(state["step"][0]), "s")
    words = json.loads(state["words"].tobytes()) if "words" in state else {}
    panel = Panel(
        state["values"],
        manifest.probes,
        manifest.features,
        Periods(state["labels"].astype("datetime64[s]"), step),
        state["padded"].astype(bool),
        words={name: np.array(column) for name, column in words.items()},
    )
    return panel, state["expected"]
