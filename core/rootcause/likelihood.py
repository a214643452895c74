"""How likely a change at each node is, given what its leaves and its relatives show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse, special

from core.contracts import Floats
from core.rootcause.deviation import FUNNEL, Deviations, Rows

MEMORY = 28  # periods before the window that taught what is expected
PAST = 3  # earlier windows that teach what drift is normal
LEAN = 5.0  # past windows that a level's drift is worth against a row's own
ENOUGH = 500  # rows of a level that are enough to tell what is rare
LEAST = 1e-12  # information of a row that shows nothing


@dataclass(frozen=True, eq=False)
class Estimate:
    """Of every node over the last 1…window periods, each (n_node, window, n_channel).

    change, variance : relative change (0.5 = half as much again) and the variance of its estimate
    gain             : log likelihood ratio of "changed here" against "as expected, or moving with a parent"
    """

    change: Floats
    variance: Floats
    gain: Floats


@dataclass(frozen=True, eq=False)
class World:
    """Leaves with what is expected of them, and how far leaves and nodes drift in normal times.

    expected   : (n_leaf, n_time, n_channel) counts, with the changes found so far
    leaf_drift : (n_leaf, window, n_channel) variance of lasting drift over the last 1…window periods
    node_drift : (n_node, window, n_channel) the same of nodes
    """

    found: Deviations
    square: sparse.csr_array
    touch: sparse.csr_array
    expected: Floats
    leaf_drift: Floats
    node_drift: Floats

    @classmethod
    def of(cls, found: Deviations, window: int, drift: float) -> World:
        """Learn the drifts from earlier windows of the same panel; `drift` is the least that is believed."""
        time = found.expected.shape[1]
        width = min(window, time)
        floor = np.full((1, width, len(FUNNEL)), drift**2)
        leaf_floor = np.broadcast_to(floor, (len(found.leaves), *floor.shape[1:]))
        if time > width:
            # an expectation learned from few events is as uncertain as they are few
            past = found.expected[:, max(time - width - MEMORY, 0) : time - width].sum(axis=1)
            leaf_floor = floor + (found.noise[:, :, 0] / np.maximum(past, 1.0))[:, None]
        design = found.design
        world = cls(found, design.power(2), design.sign(), found.expected, leaf_floor, floor)
        level = np.unique(found.levels, return_inverse=True)[1]
        leaves = [world.at_leaves(stop) for stop in range(time - width, width - 1, -width)[:PAST]]
        world = replace(world, leaf_drift=_drift(leaves, level[found.leaves], leaf_floor))
        nodes = [world.at_nodes(*world.held(*sums)) for sums in leaves]
        node_floor = np.broadcast_to(floor, (len(level), *floor.shape[1:]))
        return replace(world, node_drift=_drift(nodes, level, node_floor))

    @property
    def time(self) -> int:
        """Number of periods; the newest is the last."""
        return int(self.expected.shape[1])

    def at_leaves(self, stop: int, rows: Rows | slice = slice(None)) -> tuple[Floats, Floats]:
        """Weighted deviation and information of leaves over the last 1…window periods before `stop`.

        A period's deviation (seen − expected) / expected has variance a / expected + b; its information is the
        inverse. Periods add up.
        """
        width = self.leaf_drift.shape[1]
        expected = self.expected[rows, stop - width : stop]
        counting, daily = np.moveaxis(self.found.noise[rows, None], -1, 0)
        scale = np.where(expected > 0, 1.0 / (counting + daily * expected), 0.0)
        gap = (self.found.seen[rows, stop - width : stop] - expected) * scale
        return _newest_first(gap), _newest_first(expected * scale)

    def held(self, gap: Floats, information: Floats) -> tuple[Floats, Floats]:
        """The same, a leaf counting for no more than its drift lets it: information i becomes i / (1 + drift · i)."""
        held = 1.0 / (1.0 + self.leaf_drift * information)
        return gap * held, information * held

    def at_nodes(self, gap: Floats, information: Floats) -> tuple[Floats, Floats]:
        """Held leaves summed at every node."""
        return _times(self.found.design, gap), _times(self.square, information)

    def estimate(self) -> Estimate:
        """Change, variance and gain at every node over the last 1…window periods.

        A child that moves as the rest of its parent does is the parent's doing: what the rest shows is held against
        it, as far as it makes a common movement believable (the downward message of a tree Kalman filter, one step).
        """
        leaves = self.held(*self.at_leaves(self.time))
        gap, information = self.at_nodes(*leaves)
        change, variance = _change(gap, information), _variance(information) + self.node_drift
        gain = log_ratio(change, variance)

        parent, child = self.found.edges.T
        known = np.maximum(information[child], LEAST)
        touched_gap, touched = (_times(self.touch, side) for side in leaves)
        rest = np.maximum(touched[parent] - touched[child], 0.0)
        outside = _change(touched_gap[parent] - touched_gap[child], rest)
        common, own = self.node_drift[parent], self.node_drift[child]
        local = np.maximum(own - common, own / 2)
        doubt = _variance(rest) + local / np.maximum(rest / known, 0.5)
        # a parent that moved further than it ever drifts did move: empirical Bayes instead of shrinking
        common = np.maximum(common, outside**2 - doubt)
        shared = outside * common / (common + doubt)
        spill = _times(self.found.design, leaves[1])[child] / known
        alone = np.maximum(gap[child] / known - shared * spill, -1.0)
        left = 1.0 / known + local + spill**2 * common * doubt / (common + doubt)
        if len(child):
            first = np.flatnonzero(np.diff(child, prepend=-1))
            least = np.minimum.reduceat(log_ratio(alone, left), first, axis=0)
            gain[child[first]] = np.minimum(gain[child[first]], least)
        return Estimate(change, variance, gain)

    def estimate_again(self, before: Estimate, row: int) -> Estimate:
        """`estimate`, told from that `before` a change at `row` was taken out: what shares no traffic stays as it was."""
        parent, child = self.found.edges.T
        hit = self.found.design[[row]].sign().toarray().ravel()
        reached = self.touch @ hit > 0
        # a child is judged by what the rest of its parent shows
        stale = reached.copy()
        stale[child[reached[parent]]] = True
        needed = stale.copy()
        needed[parent[stale[child]]] = True
        rows = np.flatnonzero(needed)
        fresh, judged = self._among(rows).estimate(), stale[rows]

        def renewed(old: Floats, new: Floats) -> Floats:
            whole = old.copy()
            whole[rows[judged]] = new[judged]
            return whole

        return Estimate(
            renewed(before.change, fresh.change),
            renewed(before.variance, fresh.variance),
            renewed(before.gain, fresh.gain),
        )

    def _among(self, rows: Rows) -> World:
        """The same world seen from some of its nodes, and the edges between them."""
        place = np.full(len(self.found.nodes), -1, dtype=np.intp)
        place[rows] = np.arange(len(rows))
        edges = place[self.found.edges]
        found = replace(
            self.found,
            nodes=tuple(self.found.nodes[row] for row in rows),
            levels=tuple(self.found.levels[row] for row in rows),
            design=self.found.design[rows],
            edges=edges[(edges >= 0).all(axis=1)],
        )
        return replace(
            self,
            found=found,
            square=self.square[rows],
            touch=self.touch[rows],
            node_drift=self.node_drift[rows],
        )

    def at_node(self, row: int) -> tuple[Floats, Floats]:
        """Deviation and information of one node over the last 1…window periods, each (window, n_channel).

        Drift is left out: it is on both sides of an onset, so it says nothing about when.
        """
        share = self.found.design[[row]]
        gap, information = self.at_leaves(self.time, share.indices)
        weight = share.data[:, None, None]
        return (weight * gap).sum(axis=0), (weight**2 * information).sum(axis=0)

    def without(self, row: int, change: Floats, start: int, unlike: float) -> tuple[World, Floats]:
        """The world in which a change (n_channel,) at `row` from `start` on is expected, and the shift it makes at every node.

        A change never hits all parts alike: where it was expected, drift grows by `unlike` times its size.
        The shift is (n_node, n_channel), relative, over the periods of the change.
        """
        hit = self.found.design[[row]].toarray().ravel()[:, None] * change
        expected = self.expected.copy()
        expected[:, start:] *= np.maximum(1.0 + hit, 0.0)[:, None]
        information = self.held(*self.at_leaves(self.time))[1][:, self.time - start - 1]
        shift = (self.found.design @ (hit * information)) / np.maximum(
            self.square @ information, LEAST
        )
        world = replace(
            self,
            expected=expected,
            leaf_drift=self.leaf_drift + _loose(hit, unlike),
            node_drift=self.node_drift + _loose(shift, unlike),
        )
        return world, shift


def log_ratio(change: Floats, variance: Floats | float) -> Floats:
    """Log likelihood ratio of a factor 1 + change; in Poisson's form, since small counts are skewed."""
    factor = 1.0 + change
    return np.asarray((special.xlogy(factor, factor) - change) / variance)


def _loose(hit: Floats, unlike: float) -> Floats:
    """Variance that a change adds, relative to what is left to expect after it."""
    return np.asarray((unlike * hit / np.maximum(1.0 + hit, 0.01)) ** 2)[:, None]


def _newest_first(daily: Floats) -> Floats:
    return np.asarray(np.cumsum(daily[:, ::-1], axis=1))


def _times(matrix: sparse.csr_array, values: Floats) -> Floats:
    flat = values.reshape(len(values), -1)
    return np.asarray(matrix @ flat).reshape(matrix.shape[0], *values.shape[1:])


def _change(gap: Floats, information: Floats) -> Floats:
    return np.maximum(gap / np.maximum(information, LEAST), -1.0)


def _variance(information: Floats) -> Floats:
    return 1.0 / np.maximum(information, LEAST)


def _drift(past: Sequence[tuple[Floats, Floats]], level: Rows, floor: Floats) -> Floats:
    """Variance of past windows' changes beyond what counting explains: per level, leaning to each row's own."""
    if not past:
        return floor
    gap, information = (np.stack(side) for side in zip(*past, strict=True))
    change, variance = _change(gap, information), _variance(information)
    weight = np.where(information > 1e-9, 1.0 / (variance + floor) ** 2, 0.0)
    drift = np.empty(floor.shape)
    for kind in np.unique(level):
        mine = level == kind
        # winsorised: past incidents must not pass for normal drift
        square = change[:, mine] ** 2
        some = square[:, :: 1 + square.shape[1] // ENOUGH]
        square = np.minimum(square, np.quantile(some, 0.975, axis=(0, 1)))
        part = weight[:, mine]
        beyond = part * (square - variance[:, mine])
        usual = np.maximum(beyond.sum(axis=(0, 1)) / np.maximum(part.sum(axis=(0, 1)), LEAST), 0.0)
        trust = LEAN * np.maximum(part.mean(axis=(0, 1)), LEAST)
        leaning = (beyond.sum(axis=0) + trust * usual) / (part.sum(axis=0) + trust)
        drift[mine] = np.maximum(leaning, usual / 4)
    return np.maximum(drift, floor)
