"""The curve of a training, and what its list says."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.ui import jobs_view, theme

EPOCHS = 24


def rows(last: int, *, resumed: int = 0) -> list[dict[str, Any]]:
    """What a job tells of its epochs 1 … `last`; validation is best at epoch 5."""
    return [
        {
            "epoch": epoch,
            "epochs": EPOCHS,
            "stage": "train",
            "part": "lstm-autoencoder",
            "train": 1.0 / epoch,
            "validation": 0.3 + 0.01 * abs(epoch - 5),
            "seconds": 2.0 * epoch,
            "rows_per_second": 12_345.0,
            "device_memory": 0,
            "resumed": float(epoch == resumed),
        }
        for epoch in range(1, last + 1)
    ]


def test_both_losses_are_drawn_and_told_at_their_ends() -> None:
    chart = jobs_view.losses(rows(8), theme.LIGHT)
    train, validation, best = chart.data
    assert list(train.x) == list(validation.x) == list(range(1, 9))
    assert list(train.y) == pytest.approx([1 / epoch for epoch in range(1, 9)])
    assert list(validation.y)[4] == pytest.approx(0.3)
    assert (list(best.x), list(best.y)) == ([5], [pytest.approx(0.3)])
    assert [note.text for note in chart.layout.annotations] == ["train 0.125", "validation 0.33"]
    # the higher end is told above, the lower beneath
    assert [note.yanchor for note in chart.layout.annotations] == ["top", "bottom"]
    assert chart.layout.yaxis.type is None and not chart.layout.showlegend


def test_a_running_curve_leaves_room_for_the_epochs_to_come() -> None:
    assert list(jobs_view.losses(rows(3), theme.DARK, planned=EPOCHS).layout.xaxis.range) == [
        0.5,
        24.5,
    ]
    assert list(jobs_view.losses(rows(3), theme.DARK).layout.xaxis.range) == [0.5, 3.5]


def test_where_it_was_resumed_there_is_a_dashed_rule() -> None:
    (rule,) = jobs_view.losses(rows(8, resumed=6), theme.LIGHT).layout.shapes
    assert (rule.x0, rule.x1, rule.line.dash) == (5.5, 5.5, "dash")
    assert not jobs_view.losses(rows(8), theme.LIGHT).layout.shapes


def test_one_epoch_is_a_curve_too() -> None:
    chart = jobs_view.losses(rows(1), theme.LIGHT)
    assert list(chart.data[0].y) == [1.0]


def test_the_numbers_behind_the_curve_come_newest_first() -> None:
    table = jobs_view.epochs(rows(3))
    assert list(table["Epoch"]) == [3, 2, 1]
    assert list(table["Training loss"]) == pytest.approx([1 / 3, 1 / 2, 1.0])
    assert list(table["Rows per second"]) == ["12,345"] * 3


def step(part: str, *, resumed: int = 0) -> dict[str, Any]:
    """A row of work without a loss."""
    return {"part": part, "stage": "steps", "validation": None, "resumed": resumed}


def test_each_part_has_its_own_curve_and_work_without_a_loss_has_none() -> None:
    told = [step("isolation-forest"), *rows(3), step("lstm")]
    told += [{**row, "part": "lstm"} for row in rows(2)]
    found = jobs_view.curves(told)
    assert {part: [row["epoch"] for row in mine] for part, mine in found.items()} == {
        "lstm-autoencoder": [1, 2, 3],
        "lstm": [1, 2],
    }
    assert jobs_view.curves([step("isolation-forest")]) == {}


def test_a_part_was_resumed_where_its_first_epoch_after_the_pause_is_told() -> None:
    name = "lstm-autoencoder"
    # the attempt begins with work that tells of no loss
    told = [*rows(3), step(name, resumed=1), *rows(5)[3:]]
    assert [row["resumed"] for row in jobs_view.curves(told)[name]] == [0, 0, 0, 1, 0]
    # resumed before it began to learn: nothing of its curve was interrupted
    early = [step("isolation-forest"), step("isolation-forest", resumed=1), *rows(2)]
    assert [row["resumed"] for row in jobs_view.curves(early)[name]] == [0, 0]
