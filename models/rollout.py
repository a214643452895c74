"""Which arm of an experiment a unit falls into: by a salted HMAC, so that it is sticky, even, and no arm is shared."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools
from core.errors import InvalidInputError

BUCKETS = 10_000
LADDER = (0.01, 0.05, 0.25, 0.5)
"""Shares of the units that a canary climbs; a unit once treated stays treated on every higher rung."""


def buckets(salt: str, units: Sequence[str]) -> NDArray[np.int64]:
    """(n_unit,) in [0, 10,000): HMAC-SHA256(salt, length and bytes of the unit's id), half a second for 100,000.

    The length goes before the id, so that no two lists of fields can be read as one text, and the salt is the
    experiment's own, so that the treated of one are not those of the next. The remainder is uneven by 1 in 10⁷³.
    """
    if not salt:
        raise InvalidInputError.of("rollout", "the salt", "given", salt)
    key = salt.encode()
    drawn = (
        hmac.digest(key, len(unit).to_bytes(8) + unit, "sha256") for unit in map(str.encode, units)
    )
    found = (int.from_bytes(digest) % BUCKETS for digest in drawn)
    return np.fromiter(found, dtype=np.int64, count=len(units))


def arm(salt: str, units: Sequence[str], share: float) -> Bools:
    """(n_unit,) True where a unit is treated at a `share` in [0, 1]; a higher share only adds units."""
    if not 0 <= share <= 1:
        raise InvalidInputError.of("rollout", "the share", "in [0, 1]", share)
    return buckets(salt, units) < round(share * BUCKETS)
