"""What is refused, what is left out and what a failing case does; the figures are in test_cli_evaluate."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest

from core.contracts import Detector
from core.errors import InvalidInputError, UnknownNameError
from data.labelled import suite
from tests import labelled_suites as written
from workbench.services import evaluate
from workbench.services.evaluate import Outcome, Task, evaluate_detection, judge, unfit


def task(folder: Path, algorithm: str = "robust-z", **params: str) -> Task:
    found = suite(folder)
    assert found is not None
    return Task(found, found.series[0], algorithm, params)


def test_an_unknown_algorithm_is_refused_by_name(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    with pytest.raises(UnknownNameError, match=r"all or one of .*robust-z.*Got 'oracle'"):
        evaluate_detection(folder, algorithms=["oracle"])


def test_a_forecaster_is_no_detector(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    with pytest.raises(UnknownNameError, match="Got 'seasonal-naive'"):
        evaluate_detection(folder, algorithms=["seasonal-naive"])


def test_a_parameter_that_none_has_is_refused(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    with pytest.raises(UnknownNameError, match="Got 'colour'"):
        evaluate_detection(folder, algorithms=["robust-z"], params={"colour": "blue"})


def test_a_wrong_value_is_refused_before_anything_runs(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    with pytest.raises(InvalidInputError, match="largest"):
        evaluate_detection(folder, algorithms=["robust-z"], params={"largest": "0"})


@pytest.mark.parametrize(
    ("name", "params", "layout", "reason"),
    [
        ("lstm-autoencoder", {}, "table", "needs 14 periods, and a row of a table has one"),
        ("pca", {"align": "centre"}, "stream", "looks ahead"),
        ("pca", {"align": "centre"}, "split", ""),
        ("pca", {}, "stream", ""),
        ("pca", {}, "table", ""),
    ],
)
def test_an_algorithm_that_does_not_apply_says_why(
    name: str, params: dict[str, str], layout: str, reason: str
) -> None:
    assert reason in unfit(name, params, layout)
    assert bool(unfit(name, params, layout)) is bool(reason)


def test_where_none_applies_it_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = written.write_table(tmp_path / "rows")
    with pytest.raises(InvalidInputError, match="lstm-autoencoder: it needs 14 periods"):
        evaluate_detection(folder, algorithms=["lstm-autoencoder"])


def test_a_training_part_is_learned_from_and_not_scored(tmp_path: Path) -> None:
    row = judge(task(written.write_split(tmp_path / "kpi"))).row
    assert (row["rows"], row["anomalies"], row["p_values"]) == (200, 12, "static threshold")
    assert row["auc_roc"] > 0.99
    assert row["fpr"]["0.05"] < 0.2


def test_a_whole_series_is_judged_by_windows_around_each_period(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    around, behind = (
        judge(task(folder, "pca", window="20", **align)).row
        for align in ({}, {"align": "trailing"})
    )
    assert (around["rows"], behind["rows"]) == (400, 400)
    assert around["vus_pr"] > behind["vus_pr"]


def test_an_answer_is_the_same_in_every_layout_that_says_the_same(tmp_path: Path) -> None:
    split = judge(task(written.write_split(tmp_path / "kpi"))).row
    folder = tmp_path / "as metrics"
    folder.mkdir()
    with np.load(tmp_path / "kpi" / "0.npz") as file:
        np.savez(
            folder / "0.npz",
            **{**file, "train": file["train"][:, None], "test": file["test"][:, None]},
        )
    other = judge(task(folder)).row
    assert {key: other[key] for key in ("auc_pr", "auc_roc", "best_f1", "fpr")} == {
        key: split[key] for key in ("auc_pr", "auc_roc", "best_f1", "fpr")
    }


def test_root_metrics_are_judged_where_a_detector_says_them(tmp_path: Path) -> None:
    folder = written.write_split(tmp_path / "machines", n_metric=3)
    assert judge(task(folder, "pca")).hits == []
    (hit,) = judge(task(folder)).hits
    assert (hit["hit@1"], hit["hit_rate@100"], hit["chance@1"]) == (1.0, 1.0, pytest.approx(1 / 3))


def test_p_values_of_the_detector_go_before_a_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = lambda _, panel: np.full(panel.values.shape[:2], 0.03)  # noqa: E731
    monkeypatch.setattr(Detector, "p_values", half, raising=False)
    row = judge(task(written.write_split(tmp_path / "kpi"))).row
    assert row["p_values"] == "detector"
    assert row["fpr"] == {"0.05": 1.0, "0.01": 0.0, "0.001": 0.0}


def test_a_case_that_cannot_be_read_is_its_outcome(tmp_path: Path) -> None:
    folder = written.write_series(tmp_path / "sines")
    (folder / "a.npz").write_bytes(b"no archive")
    assert "a.npz must be an npz file" in judge(task(folder)).error


def test_whatever_an_algorithm_raises_is_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(evaluate, "_judged", fail)
    folder = written.write_series(tmp_path / "sines")
    assert judge(task(folder)).error == "ZeroDivisionError: by zero"


def die_on_the_first(task: Task) -> Outcome:
    """Stands for a process that the system kills for its memory."""
    if task.series == task.suite.series[0]:
        os._exit(9)
    return Outcome({"series": task.series})


def test_a_process_that_dies_takes_no_other_case_with_it(tmp_path: Path) -> None:
    found = suite(written.write_series(tmp_path / "sines"))
    assert found is not None
    tasks = [Task(found, series, "robust-z", {}) for series in found.series]
    dead, *alive = evaluate.run(die_on_the_first, tasks, 2, None)
    assert dead.error.startswith("its process died")
    assert [outcome.row["series"] for outcome in alive] == list(found.series[1:])


def test_ctrl_c_ends_the_processes_at_once() -> None:
    others = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt), evaluate._processes(1) as pool:
        future = pool.submit(time.sleep, 3_600)
        while not future.running():
            time.sleep(0.01)
        [process] = set(multiprocessing.active_children()) - others
        raise KeyboardInterrupt
    # `join` returns early where the pool's own thread reaps the process first; the sentinel doesn't.
    assert wait([process.sentinel], 60), f"process {process.pid} still runs"
