"""Has the data moved away from its reference: distances per cell, calibrated, gated, held against one another.

A cell is one metric of one level; it holds one or many series. A cell drifts when, over the newest three windows
together, its distance is rarer than calm data allows among all cells that are looked at, large enough to matter,
and the same way in each of the three windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import DAY, Bools, Floats
from core.drift import calibration, distances
from core.drift.calibration import Memory, Null
from core.drift.windows import DAILY, PERSISTENCE, Rhythm, Schedule, standardised
from core.errors import InvalidInputError, NotEnoughDataError

REACH, STEP = 4.0, 0.125
"""The grid of standard deviations on which distances are measured: ±REACH in steps of STEP."""
POINTS = round(2 * REACH / STEP)
EFFECT = 0.1
"""Below this standardised Wasserstein distance and stability index nothing is worth a word."""
FALSE_PER_YEAR = 1.0
"""False drifts that a tenant may see in a year in which nothing drifts."""
DRAWS = 400
COMPLETE = 0.8
"""Share of the cells' days that must be known, in the reference and in the windows."""
SHIFT = 0.5
"""The shift, in standard deviations, whose power is stated."""
POWER = 0.8
TESTS = ("ks", "wasserstein", "psi")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One metric of one level."""

    level: str
    metric: str


@dataclass(frozen=True, eq=False)
class Watched:
    """Series by day or hour, and the cell that each belongs to.

    values : (n_series, n_time), NaN = missing
    member : (n_series,) position of its cell in `cells`
    times  : (n_time,) consecutive, a step of the rhythm apart
    names  : (n_series,) whose each is, for `joined`
    """

    values: Floats
    member: Ints
    cells: tuple[Cell, ...]
    times: NDArray[np.datetime64]
    rhythm: Rhythm = DAILY
    names: tuple[str, ...] = ()

    @property
    def phase(self) -> Ints:
        """(n_time,) position of each within the calendar's round."""
        return self.rhythm.phase(self.times)

    def until(self, stop: int) -> Watched:
        """The same up to a position."""
        return replace(self, values=self.values[:, :stop], times=self.times[:stop])


def joined(parts: Sequence[Watched]) -> Watched:
    """Parts of one history as one, series by name and cell; what a part lacks is missing there.

    Where parts overlap the later one of `parts` counts, as far as it knows anything.
    """
    if len(parts) == 1:
        return parts[0]
    rhythm = parts[0].rhythm
    first, last = min(part.times[0] for part in parts), max(part.times[-1] for part in parts)
    times = np.arange(first, last + rhythm.step, rhythm.step)
    place: dict[tuple[str, Cell], int] = {}
    for part in parts:
        for name, at in zip(part.names, part.member.tolist(), strict=True):
            place.setdefault((name, part.cells[at]), len(place))
    values = np.full((len(place), len(times)), np.nan)
    for part in parts:
        rows = [
            place[name, part.cells[at]]
            for name, at in zip(part.names, part.member.tolist(), strict=True)
        ]
        since = int((part.times[0] - first) // rhythm.step)
        span = slice(since, since + len(part.times))
        values[rows, span] = np.where(np.isfinite(part.values), part.values, values[rows, span])
    cells = tuple(dict.fromkeys(cell for part in parts for cell in part.cells))
    number = {cell: at for at, cell in enumerate(cells)}
    member = np.array([number[cell] for _, cell in place], dtype=np.int64)
    return Watched(values, member, cells, times, rhythm, tuple(name for name, _ in place))


@dataclass(frozen=True, eq=False)
class Findings:
    """What a check found of each cell; arrays are (n_cell,) unless said otherwise, NaN where untested.

    distance  : (n_test, n_cell) `TESTS` between reference and the three windows together; Wasserstein in
                standard deviations of the reference
    p_value   : (n_test, n_cell) of each
    lean      : mean shift in standard deviations, + higher than the reference
    by_window : (n_cell, PERSISTENCE) mean shift of each window, oldest first
    p, adjusted : of the rarest of the three distances; among all cells
    large, lasting, drifts : the distance matters; the same way in every window; both and rare
    smallest  : shift that is found with probability `POWER`, all else calm
    power     : probability that a shift of `SHIFT` is found, all else calm
    before, after : (n_cell, POINTS) shares of the reference and of the windows on the grid from −REACH on
    course    : (n_cell, n_time) mean of the cell's series, reference then windows, standard deviations
    rate      : adjusted p up to which a cell drifts
    """

    cells: tuple[Cell, ...]
    tested: Bools
    distance: Floats
    p_value: Floats
    lean: Floats
    by_window: Floats
    p: Floats
    adjusted: Floats
    large: Bools
    lasting: Bools
    drifts: Bools
    smallest: Floats
    power: Floats
    before: Floats
    after: Floats
    course: Floats
    rate: float
    whole: tuple[Whole, ...]


@dataclass(frozen=True)
class Whole:
    """Many cells looked at together, a level's or all (`level` ""): many small shifts that no cell shows alone."""

    level: str
    cells: int
    lean: float
    p: float
    adjusted: float
    drifts: bool


@dataclass(frozen=True, eq=False)
class Reference:
    """What calm looks like: learned once from the days that are known, used for every window after them.

    distance : (n_test, n_draw, n_cell, 1 + PERSISTENCE) of resampled windows, all together first
    lean     : (n_draw, n_cell, 1 + PERSISTENCE)
    """

    usable: Bools
    member: Ints
    cells: tuple[Cell, ...]
    memory: Memory
    distance: Floats
    lean: Floats
    length: int
    rhythm: Rhythm

    @classmethod
    def learn(
        cls, watched: Watched, schedule: Schedule, *, draws: int = DRAWS, seed: int = 0
    ) -> Reference:
        """Resample the reference days; NotEnoughDataError where no series is known well enough in them."""
        reference = schedule.reference
        own = watched.values[:, reference]
        scaled = standardised(own, slice(None), watched.phase[reference])
        usable = np.isfinite(scaled).mean(axis=1) >= COMPLETE
        if not usable.any():
            rule = f"known on {COMPLETE:.0%} of the reference's days and not constant in one series or more"
            raise NotEnoughDataError.of("drift", "the data", rule, f"{len(usable)} series")
        length = own.shape[1]
        span = PERSISTENCE * schedule.length
        # windows follow the reference by the calendar, whatever lies between
        phase = np.concatenate([watched.phase[reference], watched.phase[schedule.span]])
        member, n_cell = watched.member[usable], len(watched.cells)
        found: list[tuple[Floats, Floats]] = []

        def take(histories: Floats) -> None:
            again = standardised(histories, slice(0, length), phase)
            found.append(_measured(_counted(again, member, n_cell, length, schedule.length)))

        season = watched.rhythm.season
        memory = calibration.paths(scaled[usable], span, draws, seed, take, season=season)
        return cls(
            usable=usable,
            member=member,
            cells=watched.cells,
            memory=memory,
            distance=np.concatenate([distance for distance, _ in found], axis=1),
            lean=np.concatenate([lean for _, lean in found]),
            length=schedule.length,
            rhythm=watched.rhythm,
        )

    def check(self, watched: Watched, schedule: Schedule) -> Findings:
        """Compare the schedule's windows with the reference that was learned.

        Raises InvalidInputError where cells or window length are not those of the reference.
        """
        if watched.cells != self.cells or schedule.length != self.length:
            unit = self.rhythm.unit
            rule = f"the {len(self.cells)} cells learned from, in windows of {self.length} {unit}s"
            got = f"{len(watched.cells)} cells, windows of {schedule.length} {unit}s"
            raise InvalidInputError.of("drift", "what is checked", rule, got)
        days = np.r_[schedule.reference, schedule.span]
        history = schedule.reference.stop - schedule.reference.start
        values = watched.values[self.usable][:, days]
        scaled = standardised(values, slice(0, history), watched.phase[days])
        counts = _counted(scaled[None], self.member, len(self.cells), history, self.length)
        known = np.bincount(
            self.member, np.isfinite(scaled[:, history:]).mean(axis=1), len(self.cells)
        )
        series = np.bincount(self.member, minlength=len(self.cells))
        tested = (series > 0) & (known >= COMPLETE * series)
        if not tested.any():
            rule = f"known on {COMPLETE:.0%} of the compared days in one cell or more"
            raise NotEnoughDataError.of("drift", "the data", rule, f"none of {len(tested)} cells")
        distance, lean = _measured(counts)
        parts = counts[0, :, 0], counts[0, :, 1:].sum(axis=1)
        before, after = (part / np.maximum(part.sum(axis=1, keepdims=True), 1.0) for part in parts)
        parts_of = [slice(history, None)] + [
            slice(history + self.length * place, history + self.length * (place + 1))
            for place in range(PERSISTENCE)
        ]
        # the grid ends, a shift need not
        shifts = np.stack([self._mean(scaled[:, days]) for days in parts_of], axis=1)
        shown = {
            "before": before,
            "after": after,
            "course": self._course(scaled),
            "lean": shifts[:, 0],
            "by_window": shifts[:, 1:],
        }
        return self._judged(distance[:, 0][:, tested], lean[0][tested], tested, shown)

    def _course(self, scaled: Floats) -> Floats:
        """(n_cell, n_time) mean of each cell's series."""
        return np.stack([self._mean(at[:, None]) for at in scaled.T], axis=1)

    def _mean(self, scaled: Floats) -> Floats:
        """(n_cell,) mean of all values of each cell's series."""
        known = np.isfinite(scaled)
        cells = len(self.cells)
        total = np.bincount(self.member, np.where(known, scaled, 0.0).sum(axis=1), cells)
        count = np.bincount(self.member, known.sum(axis=1), cells)
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))

    def _judged(
        self, distance: Floats, lean: Floats, tested: Bools, shown: Mapping[str, Floats]
    ) -> Findings:
        """distance (n_test, n_tested, 1 + PERSISTENCE) and lean (n_tested, …) of the cells that can be tested."""
        calm, calm_lean = self.distance[:, :, tested], self.lean[:, tested]
        nulls = [Null.of(test[..., 0]) for test in calm]
        p_value = np.stack([null.p(d) for null, d in zip(nulls, distance[..., 0], strict=True)])
        p = calibration.smallest(p_value, nulls)
        adjusted = calibration.step_up(p)
        large = np.asarray((distance[1:, :, 0] >= EFFECT).any(axis=0))
        rate = FALSE_PER_YEAR * float(self.length * self.rhythm.step / DAY) / 365.0 / 2.0
        lasting = _lasting(distance[1], lean)
        # a cell alone must pass the first step of the step-up, and it has three tests to pass it with
        critical = nulls[1].critical(rate / len(p) / len(TESTS))
        noise = calm_lean[..., 0]

        def spread(found: NDArray[Any]) -> Floats:
            """Values of the tested cells, on the last axis, in the places of all cells; NaN elsewhere."""
            whole = np.full((*found.shape[:-1], len(tested)), np.nan)
            whole[..., tested] = found
            return whole

        return Findings(
            cells=self.cells,
            tested=tested,
            distance=self._at_least(spread(distance[..., 0]), shown["lean"]),
            p_value=spread(p_value),
            p=spread(p),
            adjusted=spread(adjusted),
            large=spread(large) == 1,
            lasting=spread(lasting) == 1,
            drifts=spread((adjusted <= rate) * large * lasting) == 1,
            smallest=spread(np.maximum(critical + np.quantile(noise, POWER, axis=0), EFFECT)),
            power=spread((np.abs(SHIFT + noise) >= np.maximum(critical, EFFECT)).mean(axis=0)),
            **shown,
            rate=rate,
            whole=self._wholes(distance[1], lean, tested, rate),
        )

    @staticmethod
    def _at_least(distance: Floats, lean: Floats) -> Floats:
        """The distances, with a Wasserstein distance that is no less than the shift beyond the grid."""
        distance[1] = np.maximum(distance[1], np.abs(lean))
        return distance

    def _wholes(
        self, distance: Floats, lean: Floats, tested: Bools, rate: float
    ) -> tuple[Whole, ...]:
        """The levels and all cells together: do they lie further out, or lean further one way, than calm ones?"""
        calm = self.distance[1][:, tested]
        mean, spread = calm.mean(axis=0), np.maximum(calm.std(axis=0), 1e-12)
        out, calm_out = (distance - mean) / spread, (calm - mean) / spread
        calm_lean = self.lean[:, tested]
        levels = np.array(
            [cell.level for cell, is_in in zip(self.cells, tested, strict=True) if is_in]
        )
        groups = {"": np.ones(len(levels), dtype=bool)}
        groups |= {level: levels == level for level in dict.fromkeys(levels.tolist())}
        p = np.array(
            [
                _together(
                    np.stack([out[group].mean(axis=0), np.abs(lean[group].mean(axis=0))]),
                    np.stack(
                        [calm_out[:, group].mean(axis=1), np.abs(calm_lean[:, group].mean(axis=1))]
                    ),
                )
                for group in groups.values()
            ]
        )
        adjusted = calibration.step_up(p[:, 0])
        return tuple(
            Whole(
                level=level,
                cells=int(group.sum()),
                lean=float(lean[group, 0].mean()),
                p=float(p[row, 0]),
                adjusted=float(adjusted[row]),
                drifts=bool(
                    adjusted[row] <= rate
                    and (p[row, 1:] <= 0.5).all()
                    and distance[group, 0].mean() >= EFFECT
                ),
            )
            for row, (level, group) in enumerate(groups.items())
        )


def _lasting(distance: Floats, lean: Floats) -> Bools:
    """(n_cell,) whether each window says what all say together; Wasserstein and lean, (n_cell, 1 + PERSISTENCE).

    None is close to the reference, none carries the others, and where it is a shift they go one way.
    """
    windows = distance[:, 1:]
    far = windows.min(axis=1) >= EFFECT
    shared = np.median(windows, axis=1) >= 0.5 * windows.max(axis=1)
    leans = np.sign(lean)
    one_way = np.equal(leans, leans[:, :1]).all(axis=1)
    shift = np.abs(lean[:, 0]) >= 0.5 * distance[:, 0]
    return np.asarray(far & shared & (one_way | ~shift))


def _together(observed: Floats, calm: Floats) -> Floats:
    """(n_window,) p-value of the rarest of several statistics (n_test, n_window); calm (n_test, n_draw, n_window)."""
    nulls = [Null.of(draws) for draws in calm]
    p = np.stack([null.p(seen) for null, seen in zip(nulls, observed, strict=True)])
    return calibration.smallest(p, nulls)


def _counted(scaled: Floats, member: Ints, cells: int, history: int, length: int) -> Floats:
    """(n, n_cell, 1 + PERSISTENCE, POINTS) values on the grid, by cell and part: reference, then each window."""
    n, _, n_day = scaled.shape
    parts = 1 + PERSISTENCE
    part = np.concatenate([np.zeros(history, int), 1 + np.arange(n_day - history) // length])
    known = np.isfinite(scaled)
    place = np.clip(scaled, -REACH, REACH - STEP / 2) + REACH
    point = (np.where(known, place, 0.0) / STEP).astype(np.int32)
    row = (np.arange(n)[:, None, None] * cells + member[None, :, None]) * (parts * POINTS)
    key = (row + part * POINTS).astype(np.int32) + point
    flat = key.ravel() if known.all() else key[known]
    counts = np.bincount(flat, minlength=n * cells * parts * POINTS)
    return np.asarray(counts.reshape(n, cells, parts, POINTS), dtype=np.float32)


def _measured(counts: Floats) -> tuple[Floats, Floats]:
    """(n_test, n, n_cell, 1 + PERSISTENCE) distances and (n, n_cell, …) leans to the reference; together first."""
    reference, windows = counts[..., 0, :], counts[..., 1:, :]
    parts = np.concatenate([windows.sum(axis=-2, keepdims=True), windows], axis=-2)
    before, after = _shares(reference), _shares(parts)
    beside = before[..., None, :]
    found = np.stack(
        [
            distances.kolmogorov_smirnov(beside, after),
            distances.wasserstein(beside, after, STEP),
            distances.stability_index(before, after),
        ]
    )
    return found, distances.lean(beside, after, STEP)


def _shares(counts: Floats) -> Floats:
    cumulated = np.cumsum(counts, axis=-1)
    return np.asarray(cumulated / np.maximum(cumulated[..., -1:], 1.0))
