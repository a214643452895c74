"""Likeness of incidents: each term by hand, noise and strangers count nothing, the truly alike come first."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from core.likeness import STEMS, Story, likeness


def test_words_are_compared_as_scikit_learn_does() -> None:
    texts = ["Checkout timeout in Europe", "timeout while paying, checkout slow", "disk full on n3"]
    vectors = TfidfVectorizer(
        token_pattern=STEMS, sublinear_tf=True, stop_words="english"
    ).fit_transform(texts)
    found = likeness(Story(texts[0]), [Story(text) for text in texts[1:]])
    expected = cosine_similarity(vectors[:1], vectors[1:])[0]
    np.testing.assert_allclose([one.terms["words"] for one in found], expected, atol=1e-12)
    assert set(found[0].words) == {"checkout", "timeout"} and found[1].words == ()


def test_places_metrics_and_words_are_weighed_where_both_know_them() -> None:
    own = Story("", frozenset({"cart", "pay"}), frozenset({"eu"}), {"cpu": 13.0, "latency": 8.0})
    (alike,) = likeness(own, [Story("", frozenset({"cart"}), frozenset({"us"}), {"cpu": 6.0})])
    cosine = 10 / np.hypot(10, 5)  # 13 − 3 and 8 − 3 beside 6 − 3 and nothing
    assert alike.terms == pytest.approx({"places": 0.5, "regions": 0.0, "metrics": cosine})
    assert alike.score == pytest.approx((0.25 * 0.5 + 0.35 * cosine) / 0.65)
    assert (alike.places, alike.metrics) == (("cart",), ("cpu",))


@pytest.mark.parametrize(
    ("one", "other", "cosine"),
    [
        ({"cpu": 9.0}, {"cpu": -9.0}, 0.0),
        ({"cpu": 2.9}, {"cpu": 9.0}, 0.0),
        ({"cpu": 9.0, "noise": 1.0}, {"cpu": 400.0, "noise": -2.0}, 1.0),
    ],
)
def test_opposite_shifts_and_noise_are_no_likeness_and_size_beyond_a_bound_is_none_either(
    one: dict[str, float], other: dict[str, float], cosine: float
) -> None:
    (alike,) = likeness(Story("", shifts=one), [Story("", shifts=other)])
    assert alike.terms["metrics"] == pytest.approx(cosine)


def test_stories_that_tell_nothing_are_not_alike() -> None:
    (nothing,) = likeness(Story(""), [Story("")])
    assert (nothing.score, nothing.terms, nothing.words) == (0.0, {}, ())
    found = likeness(Story("disk full"), [Story(""), Story("disk full")])
    assert [one.score for one in found] == pytest.approx([0.0, 1.0])
    assert likeness(Story("x"), []) == []


def test_incidents_of_the_same_fault_are_the_most_alike() -> None:
    """Five planted faults with shifts of their own under noise: the nearest story is of the same fault."""
    random = np.random.default_rng(3)
    faults = random.normal(0, 8, (5, 12)) * (random.random((5, 12)) < 0.4)
    stories = [
        Story("incident", shifts={str(m): float(v) for m, v in enumerate(fault + noise)})
        for fault in np.repeat(faults, 6, axis=0)
        for noise in [random.normal(0, 1, 12)]
    ]
    right = 0
    for place, story in enumerate(stories):
        others = [one for index, one in enumerate(stories) if index != place]
        scores = [alike.score for alike in likeness(story, others)]
        nearest = int(np.argmax(scores))
        right += place // 6 == (nearest + (nearest >= place)) // 6
    assert right >= 28  # of 30
