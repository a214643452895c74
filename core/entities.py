"""The entities that a state speaks of, found by name: a model of its own for each, and what was seen last of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from core.contracts import State


def row_of(state: State) -> dict[str, int]:
    """Entity id → row, of the role "entities": ids, a line each."""
    return {entity: row for row, entity in enumerate(str(state["entities"]).split("\n"))}


def rows_of(entities: Iterable[str], known: Mapping[str, int]) -> NDArray[np.intp]:
    """The row of each entity, −1 where it is not known."""
    return np.array([known.get(entity, -1) for entity in entities], dtype=np.intp)
