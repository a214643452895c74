"""Arms: drawn by salted HMAC, sticky, monotone on the ladder, even, and independent between experiments."""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.evaluate.experiment import split_p_value
from models.rollout import LADDER, arm, buckets

UNITS = [f"campaign:{number}" for number in range(100_000)]


def test_a_bucket_is_the_salted_hmac_of_the_length_and_the_id() -> None:
    unit = "campaign:é"
    text = unit.encode()
    digest = hmac.new(b"salt", len(text).to_bytes(8, "big") + text, hashlib.sha256).hexdigest()
    assert buckets("salt", [unit]).tolist() == [int(digest, 16) % 10_000]


def test_a_unit_once_treated_stays_treated() -> None:
    arms = [arm("s", UNITS, share) for share in (0.0, *LADDER, 1.0)]
    for lower, higher in pairwise(arms):
        assert not (lower & ~higher).any()
        assert higher.sum() > lower.sum()
    assert not arms[0].any()
    assert arms[-1].all()


@pytest.mark.parametrize("share", LADDER)
def test_the_share_is_the_one_asked_for(share: float) -> None:
    treated = int(arm("another", UNITS, share).sum())
    assert split_p_value(len(UNITS) - treated, treated, share) > 0.001


def test_two_experiments_treat_units_independently() -> None:
    first, second = arm("one", UNITS, 0.5), arm("two", UNITS, 0.5)
    both = float(np.mean(first & second))
    assert both == pytest.approx(0.25, abs=0.006)


def test_the_order_and_the_company_of_units_change_nothing() -> None:
    some = UNITS[500:700]
    assert arm("s", some[::-1], 0.25).tolist() == arm("s", UNITS, 0.25)[500:700][::-1].tolist()


def test_no_salt_and_no_share_beyond_one_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="the salt must be given"):
        buckets("", ["a"])
    with pytest.raises(InvalidInputError, match=r"the share must be in \[0, 1\]"):
        arm("s", ["a"], 50)
