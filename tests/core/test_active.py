"""Choosing what to ask: who is torn comes first, slices stay in proportion, the random few tell the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from core import active
from core.active import Draw, Pool
from core.errors import InvalidInputError


def pool(n: int = 200, judged: int = 40, seed: int = 0) -> Pool:
    """The first `judged` have an answer, the first five of them for sure."""
    rng = np.random.default_rng(seed)
    fresh = np.arange(n) >= judged
    doubt = np.where(fresh, np.nan, rng.random(n))
    gold = np.arange(n) < 5
    return Pool(fresh, rng.random(n), rng.normal(size=(n, 3)), doubt, gold & ~fresh)


def test_a_committee_of_one_voice_is_not_torn_and_an_even_split_is() -> None:
    beliefs = np.array([[[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]], [[0.5, 0.5], [0.0, 1.0], [0.7, 0.3]]])
    torn = active.disagreement(beliefs)
    assert torn[0] == pytest.approx(0.0) and torn[1] == pytest.approx(1.0)
    near = active.nearness(beliefs)
    assert near == pytest.approx([1.0, 1.0, 0.4])
    assert active.hardness(beliefs) == pytest.approx(torn * near)


def test_disagreement_is_the_mean_divergence_from_the_consensus() -> None:
    from scipy.stats import entropy

    beliefs = np.random.default_rng(3).dirichlet(np.ones(4), size=(5, 7))
    joint = beliefs.mean(axis=0)
    expected = [
        np.mean([entropy(beliefs[member, item], joint[item]) for member in range(5)]) / np.log(4)
        for item in range(7)
    ]
    assert active.disagreement(beliefs) == pytest.approx(expected)


def test_a_detector_at_its_threshold_believes_in_neither_and_one_without_a_say_counts_not() -> None:
    beliefs = active.votes(np.array([[0.01, 1e-9, 1.0], [np.nan, 1e-9, 1.0]]), 0.01)
    assert beliefs[0, 0] == pytest.approx([0.5, 0.5])
    assert beliefs[0, 1, 1] == pytest.approx(1.0, abs=1e-6)
    assert active.disagreement(beliefs)[0] == pytest.approx(0.0)


def test_a_learned_committee_is_sure_where_it_was_taught_and_torn_between() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(-3, 1, (40, 2)), rng.normal(3, 1, (40, 2)), [[0.0, 0.0]]])
    taught = np.concatenate([np.arange(30), np.arange(40, 70)])
    beliefs = active.committee(features, taught, np.repeat([0, 1], 30), 2)
    assert beliefs.shape == (active.MEMBERS, 81, 2)
    assert beliefs.sum(axis=2) == pytest.approx(1.0)
    hard = active.hardness(beliefs)
    assert hard[80] > np.quantile(hard, 0.9)


def test_every_slice_has_its_share_and_every_stretch_of_the_queue_the_mix() -> None:
    picks = active.choose(40, pool(), np.random.default_rng(0))
    names = [pick.slice for pick in picks]
    expected = {"hard": 20, "diverse": 8, "random": 6, "relabel": 4, "gold": 2}
    assert {name: names.count(name) for name in expected} == expected
    assert len({pick.row for pick in picks}) == 40
    assert all(names[start : start + 10].count("hard") == 5 for start in (0, 10, 20, 30))
    assert {pick.chance for pick in picks if pick.slice == "random"} == {6 / 160}


def test_the_hardest_come_first_and_lie_apart() -> None:
    asked = pool()
    picks = active.choose(40, asked, np.random.default_rng(0))
    by_slice = {name: [p.row for p in picks if p.slice == name] for name in active.SLICES}
    left = np.setdiff1d(np.flatnonzero(asked.fresh), by_slice["random"])
    order = left[np.argsort(-asked.hard[left])]
    chosen = by_slice["hard"]
    assert chosen[0] == order[0]
    assert set(chosen) <= set(order[: active.SPREAD * len(chosen)])
    places = active.ranked(asked.features)
    assert pdist(places[chosen]).min() > pdist(places[order[: len(chosen)]]).min()


def test_things_in_one_place_are_picked_by_hardness_alone() -> None:
    asked = replace(pool(), features=np.zeros((200, 3)))
    picks = active.choose(40, asked, np.random.default_rng(0))
    drawn = [pick.row for pick in picks if pick.slice == "random"]
    hard = [pick.row for pick in picks if pick.slice == "hard"]
    left = np.setdiff1d(np.flatnonzero(asked.fresh), drawn)
    assert hard == left[np.argsort(-asked.hard[left])][: len(hard)].tolist()


def test_what_is_judged_is_asked_again_only_where_it_is_doubtful() -> None:
    asked = pool()
    picks = active.choose(40, asked, np.random.default_rng(0))
    by_slice = {name: [p.row for p in picks if p.slice == name] for name in active.SLICES}
    doubtful = np.setdiff1d(np.flatnonzero(~asked.fresh & ~asked.gold), by_slice["relabel"])
    assert np.nanmin(asked.doubt[by_slice["relabel"]]) >= np.nanmax(asked.doubt[doubtful])
    assert set(by_slice["gold"]) <= set(range(5))


def test_without_anything_judged_the_hard_ones_take_the_empty_places() -> None:
    picks = active.choose(40, pool(judged=0), np.random.default_rng(0))
    names = [pick.slice for pick in picks]
    assert names.count("hard") == 26 and len(names) == 40
    assert len(active.choose(40, pool(n=30, judged=5), np.random.default_rng(0))) <= 30


def test_quotas_add_up_and_a_queue_of_nothing_is_refused() -> None:
    assert all(sum(active.quotas(size).values()) == size for size in range(1, 200))
    with pytest.raises(InvalidInputError, match="at least 1"):
        active.choose(0, pool(), np.random.default_rng(0))


def test_the_diverse_cover_clusters_that_nobody_has_seen() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    places = np.repeat(centres, 25, axis=0) + rng.normal(0, 0.3, (100, 2))
    rows, distances = active.farthest(places, np.arange(25), np.arange(25, 100), 3)
    assert sorted(rows // 25) == [1, 2, 3]
    assert (np.diff(distances) <= 1e-12).all()


def test_ranks_know_no_units_and_put_what_is_missing_in_the_middle() -> None:
    values = np.array([[1.0, np.nan], [1000.0, 5.0], [2.0, 6.0]])
    assert active.ranked(values) == pytest.approx(
        np.array([[1 / 6, 0.5], [5 / 6, 0.25], [0.5, 0.75]])
    )
    assert active.ranked(values * 1e6) == pytest.approx(active.ranked(values))


def test_the_share_is_unbiased_though_the_hard_ones_are_far_from_usual() -> None:
    """Yes among 300: 120. The hard ones, judged first, are all "yes"; their mean would say 1."""
    truth = np.repeat([1.0, 0.0], [120, 180])
    estimates, covered = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        first = rng.choice(300, 20, replace=False)
        hard = np.setdiff1d(np.arange(60), first)
        left = np.setdiff1d(np.arange(300), [*first, *hard])
        second = rng.choice(left, 20, replace=False)
        found = active.share(
            [
                Draw(truth[first], 300, np.array([])),
                Draw(truth[second], len(left), truth[[*first, *hard]]),
            ]
        )
        estimates.append(found.value)
        covered.append(found.low <= 0.4 <= found.high)
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(0.4, abs=3 * error)
    assert 0.92 <= np.mean(covered) <= 0.995


def test_no_answers_make_no_share_and_missing_ones_are_left_out() -> None:
    assert np.isnan(active.share([]).value)
    assert active.share([Draw(np.array([np.nan]), 10, np.array([]))]).answers == 0
    found = active.share([Draw(np.array([1.0, 0.0, np.nan]), 10, np.array([1.0, np.nan]))])
    assert found.answers == 2 and found.value == pytest.approx((1 + 10 * 0.5) / 11)
