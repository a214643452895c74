from __future__ import annotations

import numpy as np
import pytest

from core.artifact import pack, unpack
from core.detectors.half_space_trees import (
    HalfSpaceTrees,
    HalfSpaceTreesParams,
    _count,
    _densities,
    _walk,
)
from core.errors import InvalidInputError
from core.kernel import kernel
from core.samples import sample, spiked


def test_density_worked_by_hand():
    # one tree of height 2: masses of the root, of its two halves, of the four quarters
    reference = np.array([[1.0, 0.96, 0.04, 0.9, 0.06, 0.04, 0.0]])
    # mass · 2^depth; the right half is too thin (≤ 0.1) to be asked further
    assert _densities(reference).tolist() == [[0.9 * 4, 0.06 * 4, 0.04 * 2, 0.04 * 2]]


def test_points_end_in_the_leaf_that_their_cuts_lead_to():
    # cut at 0.5, then at 0.25 and 0.75; a value on the cut goes left
    feature = np.zeros((1, 3), dtype=np.uint32)
    threshold = np.array([[0.5, 0.25, 0.75]])
    rows = np.array([[0.1], [0.25], [0.3], [0.6], [0.9]])
    assert _walk(rows, feature, threshold).tolist() == [[0, 0, 1, 2, 3]]


def test_learning_counts_every_node_on_the_way():
    latest = np.zeros((1, 7))
    _count(latest, np.array([[0, 1, 2, 3]]), np.array([True, True, False, True]))
    assert latest.tolist() == [[3, 2, 1, 1, 1, 0, 1]]


def test_the_compiled_walk_does_what_its_source_says():
    rng = np.random.default_rng(0)
    feature = rng.integers(4, size=(3, 15), dtype=np.uint32)
    threshold, rows = rng.random((3, 15)), rng.random((50, 4))
    assert np.array_equal(_walk(rows, feature, threshold), kernel(_walk)(rows, feature, threshold))


def test_the_newest_days_are_judged_as_they_are_among_all():
    fitted = HalfSpaceTrees().fit(sample())
    assert np.array_equal(fitted.score(spiked(), last=3), fitted.score(spiked())[:, -3:])
    # a window that cannot fill within the panel never changes the reference
    patient = HalfSpaceTrees(HalfSpaceTreesParams(window=10**6), state=fitted.state)
    running = patient.begin(spiked().entities)
    for points in spiked().values.swapaxes(0, 1):
        running, scores = patient.update(running, points)
    assert np.array_equal(patient.score_last(spiked()), scores)


def test_fourteen_days_of_one_entity_are_not_warm_but_those_of_many_are():
    one = HalfSpaceTrees().fit(sample(n_entity=1, n_time=14))
    many = HalfSpaceTrees().fit(sample(n_entity=24, n_time=14))
    assert one.warm == pytest.approx(14 / 250)
    assert many.warm == 1.0
    running = one.begin(["keyword:0"])
    for _ in range(236):
        running, _ = one.update(running, np.zeros((1, 5)))
    assert one.warmth(running) == 1.0


def test_what_is_normal_now_follows_the_stream():
    fitted = HalfSpaceTrees(HalfSpaceTreesParams(window=48, memory=0.5)).fit(sample())
    rng = np.random.default_rng(5)
    running = fitted.begin(sample().entities)
    mean_scores = []
    for _ in range(40):
        running, scores = fitted.update(running, 4.0 + rng.standard_normal((24, 5)))
        mean_scores.append(scores.mean())
    # the running level takes a few days to arrive; then the new place becomes the usual one
    ordinary = fitted.score(sample(seed=9)).mean()
    assert max(mean_scores[:6]) > ordinary + 1.5
    assert mean_scores[-1] < ordinary


def test_with_no_memory_a_full_window_replaces_the_reference():
    fitted = HalfSpaceTrees(HalfSpaceTreesParams(window=24, memory=0.0)).fit(sample())
    running, _ = fitted.update(fitted.begin(sample().entities), np.zeros((24, 5)))
    assert running["seen"][0] == 0
    assert running["reference"][0] == 1.0
    assert set(np.unique(running["reference"])) <= {0.0, 1.0}


def test_points_without_any_value_are_judged_but_not_learned():
    fitted = HalfSpaceTrees().fit(sample())
    running = fitted.begin(sample().entities)
    later, scores = fitted.update(running, np.full((24, 5), np.nan))
    assert np.isfinite(scores).all()
    assert np.array_equal(later["latest"], running["latest"])
    assert later["points"][0] == running["points"][0]


def test_a_running_state_goes_on_tomorrow_with_other_entities():
    fitted = HalfSpaceTrees().fit(sample())
    running = fitted.begin(["a", "b"])
    running, _ = fitted.update(running, np.array([[3.0] * 5, [-3.0] * 5]))
    tomorrow = fitted.begin(["new", "b", "a"], earlier=unpack(pack(running)))
    assert tomorrow["level"][0].tolist() == [0.0] * 5
    assert np.array_equal(tomorrow["level"][1:], running["level"][::-1])
    assert np.array_equal(tomorrow["latest"], running["latest"])


def test_points_of_another_shape_are_refused():
    fitted = HalfSpaceTrees().fit(sample())
    with pytest.raises(InvalidInputError, match=r"of shape \(24, 5\)"):
        fitted.update(fitted.begin(sample().entities), np.zeros((3, 5)))


def test_the_order_of_entities_within_a_day_does_not_matter():
    panel = spiked()
    fitted = HalfSpaceTrees().fit(sample())
    turned = fitted.score(panel.select(entities=panel.entities[::-1]))[::-1]
    assert np.array_equal(turned, fitted.score(panel))


def test_a_density_can_be_summed_on_the_way_to_the_first_thin_node():
    reference = np.array([[1.0, 0.96, 0.04, 0.9, 0.06, 0.04, 0.0]])
    way = 1.0 + 0.96 * 2
    assert _densities(reference, along=1.0)[0] == pytest.approx(
        [way + 0.9 * 4, way + 0.06 * 4, 1.0 + 0.04 * 2, 1.0 + 0.04 * 2]
    )
