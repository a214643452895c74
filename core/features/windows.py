"""Windows of fixed length over a panel, as views."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from core.contracts import Bools, Floats, Panel
from core.errors import InvalidInputError


def windows(panel: Panel, length: int = 14, last: int | None = None) -> tuple[Floats, Bools]:
    """The window of `length` periods that ends at each of the `last` periods (all of them by default).

    A history shorter than the window is padded: the periods before an entity's first observed one
    repeat that first one and are marked; a longer history is cut to its latest periods. Gaps inside a
    history stay NaN. A window that ends before the first observed period is nothing but padding, of
    values its entity had not seen yet: give it no weight.

    Returns read-only views: values (n_entity, last, length, n_metric), padded (n_entity, last, length).
    """
    n_time = len(panel.periods)
    last = n_time if last is None else last
    if length < 1:
        raise InvalidInputError.of("windows", "length", "at least 1 period", length)
    if not 1 <= last <= n_time:
        raise InvalidInputError.of("windows", "last", f"in [1, {n_time}]", last)

    values = panel.values[:, max(0, n_time - last - length + 1) :]
    observed = np.isfinite(values).any(axis=2)
    missing_lead = ~np.logical_or.accumulate(observed, axis=1)
    first = values[np.arange(len(values)), observed.argmax(axis=1)]
    filled = np.where(missing_lead[:, :, None], first[:, None, :], values)
    padded = missing_lead
    if panel.padded is not None:
        padded = padded | panel.padded[:, -values.shape[1] :]

    lead = last + length - 1 - values.shape[1]
    if lead:
        filled = np.pad(filled, ((0, 0), (lead, 0), (0, 0)), mode="edge")
        padded = np.pad(padded, ((0, 0), (lead, 0)), constant_values=True)
    values_view = sliding_window_view(filled, length, axis=1).transpose(0, 1, 3, 2)
    return values_view, sliding_window_view(padded, length, axis=1)
