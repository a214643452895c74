"""From stored cells to a panel: place them, tell zero from missing, roll upper levels up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A level whose volume falls below this share of what its siblings of the same day say is partial.
AGREEING = 0.9
# Where no other level can vouch, a day with fewer rows than this share of its neighbours is partial.
NEIGHBOURLY = 0.5
NEIGHBOURS = 7


@dataclass(frozen=True, eq=False)
class Nodes:
    """Entities in panel order: number of their level (0 = top) and of their top-level owner."""

    level: Ints
    owner: Ints
    levels: int
    owners: int

    @property
    def group(self) -> Ints:
        """One number per (level, owner)."""
        return self.level + self.levels * self.owner

    @property
    def groups(self) -> int:
        return self.levels * self.owners


@dataclass(frozen=True, eq=False)
class Edges:
    """Parent → child positions, valid for day positions [start, stop)."""

    parent: Ints
    child: Ints
    start: Ints
    stop: Ints

    def __len__(self) -> int:
        return len(self.parent)


def place(entity: Ints, day: Ints, cells: Floats, shape: tuple[int, int]) -> tuple[Floats, Bools]:
    """(n_entity, n_day, n_metric) with NaN elsewhere, and which (entity, day) had a row."""
    values = np.full((*shape, cells.shape[1]), np.nan)
    seen = np.zeros(shape, dtype=bool)
    values[entity, day] = cells
    seen[entity, day] = True
    return values, seen


def partial_days(rows: Floats, volume: Floats, delivered: Bools, owner: Ints) -> Bools:
    """Delivered days of which something is missing, (n_group, n_day).

    Levels of one owner describe the same traffic: a level that says clearly less than another, and less
    than it usually says, is incomplete. Where no other level can vouch, few rows against the median of
    the neighbouring days decide.

    rows, volume : (n_group, n_day) of what is known; owner : (n_group,) who the groups belong to
    """
    partial = np.zeros(delivered.shape, dtype=bool)
    for one in np.unique(owner[delivered.any(axis=1)]):
        groups = np.flatnonzero((owner == one) & delivered.any(axis=1))
        told = np.where(delivered[groups], volume[groups], 0.0)
        vouched = (delivered[groups].sum(axis=0) > 1) & (told.max(axis=0) > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(vouched & delivered[groups], told / told.max(axis=0), np.nan)
        few = _few_rows(rows[groups], delivered[groups])
        usual = np.array(
            [np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else 1.0 for row in share]
        )
        partial[groups] = (
            np.where(vouched, share < AGREEING * usual[:, None], few) & delivered[groups]
        )
    return partial


def _few_rows(rows: Floats, delivered: Bools) -> Bools:
    known = np.where(delivered, rows, np.nan)
    padded = np.pad(known, ((0, 0), (NEIGHBOURS, NEIGHBOURS)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1, axis=1)
    enough = (~np.isnan(around)).sum(axis=2) > 2
    median = np.zeros(rows.shape)
    median[enough] = np.nanmedian(around[enough], axis=1)
    few: Bools = enough & (rows < NEIGHBOURLY * median)
    return few


def fill_zeros(
    values: Floats, seen: Bools, complete: Bools, first_day: Ints, carried: Bools, group: Ints
) -> Floats:
    """Zero where a complete delivery has no row for an entity that existed; in place.

    Only in metrics that the group's files carry at all. complete : (n_group, n_day); carried :
    (n_group, n_metric); first_day : (n_entity,) position of the first row ever.
    """
    days = np.arange(values.shape[1])
    absent = ~seen & complete[group] & (days >= first_day[:, None])
    for metric in range(values.shape[2]):
        values[:, :, metric][absent & carried[group, metric][:, None]] = 0.0
    return values


def roll_up(
    values: Floats, reported: Bools, incomplete: Bools, nodes: Nodes, pairs: Edges
) -> Floats:
    """Sum descendants into the entities that report nothing themselves; in place.

    Each takes the first lower level in which it has reporting descendants, so nothing is counted twice;
    NaN where no descendant has a value, or where that level's day is incomplete.

    reported : (n_entity,) has rows of its own; incomplete : (n_group, n_day) days not to be summed
    """
    from scipy import sparse  # nothing else that opens with the stores needs it

    use = ~reported[pairs.parent] & reported[pairs.child]
    parent, child = pairs.parent[use], pairs.child[use]
    start, stop = pairs.start[use], pairs.stop[use]
    source = np.full(len(nodes.level), nodes.levels, dtype=np.int64)
    np.minimum.at(source, parent, nodes.level[child])
    chosen = nodes.level[child] == source[parent]
    parent, child, start, stop = parent[chosen], child[chosen], start[chosen], stop[chosen]
    if not len(parent):
        return values
    summed, inverse = np.unique(parent, return_inverse=True)
    n_day, n_metric = values.shape[1:]
    totals = np.zeros((len(summed), n_day, n_metric))
    counts = np.zeros((len(summed), n_day, n_metric))
    spans, which = np.unique(
        np.stack([np.clip(start, 0, n_day), np.clip(stop, 0, n_day)]), axis=1, return_inverse=True
    )
    for index, (low, high) in enumerate(spans.T):
        if low >= high:
            continue
        rows = which == index
        children, column = np.unique(child[rows], return_inverse=True)
        summing = sparse.csr_matrix(
            (np.ones(rows.sum()), (inverse[rows], column)), shape=(len(summed), len(children))
        )
        part = values[children, low:high]
        known = ~np.isnan(part)
        shape = (len(children), -1)
        totals[:, low:high] += (summing @ np.where(known, part, 0.0).reshape(shape)).reshape(
            len(summed), high - low, n_metric
        )
        counts[:, low:high] += (summing @ known.astype(np.float64).reshape(shape)).reshape(
            len(summed), high - low, n_metric
        )
    groups = source[summed] + nodes.levels * nodes.owner[summed]
    usable = (counts > 0) & ~incomplete[groups][:, :, None]
    values[summed] = np.where(usable, totals, np.nan)
    return values
