"""Collections of series with what came next, in the layout in which the M4 competition's are passed around.

An npz file per frequency, named after it (Hourly.npz, …): `ids (n,)`; `values` and `offsets (n + 1,)`, the histories
end to end; `test (n, horizon)`, what came next.
"""

from __future__ import annotations

import itertools
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.contracts import Floats, Panel, Periods
from core.errors import InvalidInputError

FREQUENCIES = {
    "hourly": (np.timedelta64(1, "h"), 24),
    "daily": (np.timedelta64(1, "D"), 1),
    "weekly": (np.timedelta64(7, "D"), 1),
    "monthly": (np.timedelta64(30, "D"), 12),
    "quarterly": (np.timedelta64(91, "D"), 4),
    "yearly": (np.timedelta64(365, "D"), 1),
}
"""Step between periods, and the period that the competition's measures take for a season."""
START = np.datetime64("2000-01-03T00:00:00", "s")
METRIC = "value"


@dataclass(frozen=True, eq=False)
class Collection:
    """Series of one frequency.

    panel  : their histories, which end together; NaN before a series begins
    actual : (n_entity, horizon) what came next
    period : the season of the competition's measures
    """

    file: Path
    panel: Panel
    actual: Floats
    period: int

    @property
    def name(self) -> str:
        return self.file.stem.lower()

    def history(self, row: int) -> Floats:
        """One series from its first value."""
        values = self.panel.values[row, :, 0]
        return values[~np.isnan(values)]


def collections(path: Path) -> list[Collection]:
    """The collection of a file, or those of the files in a folder."""
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    known = [file for file in files if file.stem.lower() in FREQUENCIES]
    if not known:
        rule = f"a file or a folder of files named {', '.join(FREQUENCIES)} (.npz)"
        held = ", ".join(file.name for file in files[:5]) or "nothing"
        raise InvalidInputError.of("m4", str(path), rule, held)
    return [collection(file) for file in known]


def collection(file: Path) -> Collection:
    """Read one file; whatever is wrong with it is told with the file, the rule and the value."""
    rule = "an npz file with ids, values, offsets and test"
    if not zipfile.is_zipfile(file):
        held = "a file of another kind, or a part of one"
        raise InvalidInputError.of("m4", file.name, rule, held)
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:
            ids, values, offsets, test = (
                held[role] for role in ("ids", "values", "offsets", "test")
            )
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidInputError.of("m4", file.name, rule, str(error)) from None
    lengths = np.diff(offsets)
    whole = offsets.shape == (len(ids) + 1,) and offsets[0] == 0 and offsets[-1] == len(values)
    if not (whole and len(ids) and (lengths > 1).all()):
        rule = "the ends of as many histories as ids, each of two values or more"
        raise InvalidInputError.of("m4", f"{file.name}: offsets", rule, offsets.shape)
    if test.ndim != 2 or len(test) != len(ids) or not np.isfinite(test).all():
        rule = f"numbers of shape ({len(ids)}, horizon)"
        raise InvalidInputError.of("m4", f"{file.name}: test", rule, test.shape)
    if not np.isfinite(values).all():
        raise InvalidInputError.of("m4", f"{file.name}: values", "finite", "NaN or ∞")
    n_time = int(lengths.max())
    histories = np.full((len(ids), n_time, 1), np.nan)
    for row, (begin, end) in enumerate(itertools.pairwise(offsets)):
        histories[row, n_time - (end - begin) :, 0] = values[begin:end]
    step, period = FREQUENCIES[file.stem.lower()]
    periods = Periods(START + step * np.arange(n_time), step)
    panel = Panel(histories, tuple(map(str, ids)), (METRIC,), periods)
    return Collection(file, panel, test.astype(np.float64), period)
