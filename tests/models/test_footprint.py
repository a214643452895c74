"""Bytes that a model holds: everything once, wherever it hangs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models.footprint import footprint


@dataclass
class Holder:
    held: Any


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held


@pytest.mark.parametrize(
    "wrap",
    [
        lambda array: array,
        lambda array: [array, array],
        lambda array: {"a": (array,), "b": Holder(array)},
        lambda array: Slotted([array[:10], array[5:]]),
        lambda array: Holder(array.reshape(10, 100).T),
    ],
)
def test_an_array_counts_once_however_often_and_whatever_part_of_it_is_held(wrap: Any) -> None:
    assert footprint(wrap(np.zeros(1000))) == 8000


def test_tensors_count_too() -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(30, 10)
    assert footprint(Holder(net)) == pytest.approx((30 * 10 + 10) * 4, abs=600)
