"""The classifiers answer as scikit-learn does, weigh rare classes, and find faults by their shape."""

from __future__ import annotations

import dataclasses
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import catalog
from core.artifact import pack, unpack
from core.classifiers.trees import RandomForest
from core.errors import NotEnoughDataError
from core.features.table import FeatureTable
from core.samples import planted_classes, sample

NAMES = ("logistic", "random-forest", "gradient-boosting")
SMALL = {
    "logistic": {},
    "random-forest": {"trees": 30},
    "gradient-boosting": {"rounds": 30},
}
FEW = {"lags": "5", "spans": "5", "shapes": ""}


def make(name: str, **params):
    return catalog.make(name, **SMALL[name], **FEW, **params)


def library(name: str, classifier):
    """The same model straight from scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    params = classifier.params
    return {
        "logistic": lambda: LogisticRegression(C=1.0, max_iter=500),
        "random-forest": lambda: RandomForestClassifier(
            30, min_samples_leaf=params.leaf, max_depth=params.depth, random_state=0
        ),
        "gradient-boosting": lambda: HistGradientBoostingClassifier(
            max_iter=30, random_state=0, early_stopping=False
        ),
    }[name]()


def binary(panel):
    return planted_classes(panel) == "up"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labelling", [planted_classes, binary])
def test_the_probabilities_are_those_of_scikit_learn(name, labelling):
    panel, fresh = sample(), sample(seed=5)
    labels = labelling(panel)
    classifier = make(name, weights="equal").fit(panel, labels)
    table = FeatureTable.fit(panel, classifier.params)
    rows, asked = (table.transform(one).values.reshape(24 * 42, -1) for one in (panel, fresh))
    texts = np.where(labels, "anomaly", "normal") if labels.dtype == bool else labels
    expected = library(name, classifier).fit(rows, texts.ravel()).predict_proba(asked)
    found = classifier.predict_proba(fresh).reshape(24 * 42, -1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_balanced_weights_divide_by_the_share_of_the_class(name):
    panel, fresh = sample(), sample(seed=5)
    labels = planted_classes(panel)
    equal, balanced = (
        make(name, weights=weights).fit(panel, labels).predict_proba(fresh)
        for weights in ("equal", "balanced")
    )
    _, counts = np.unique(labels, return_counts=True)
    lifted = equal / counts
    np.testing.assert_allclose(balanced, lifted / lifted.sum(axis=2, keepdims=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_rare_kind_of_fault_is_told_from_the_common_one_and_from_noise(name):
    faults = {"spike": (0.03, 0, 6.0), "drop": (0.01, 1, -6.0)}

    def world(seed: int):
        panel = sample(n_entity=60, seed=seed)
        values, labels = panel.values.copy(), np.full((60, 42), "normal", dtype="U6")
        hit = np.random.default_rng(100 + seed).random((60, 42))
        for index, (fault, (share, metric, size)) in enumerate(faults.items()):
            cells = (hit > index * 0.5) & (hit < index * 0.5 + share)
            values[cells, metric] += size
            labels[cells] = fault
        return panel.with_values(values), labels

    panel, labels = world(0)
    fresh, truth = world(1)
    classifier = make(name).fit(panel, labels)
    assert classifier.classes == ("drop", "normal", "spike")
    chosen = np.array(classifier.classes)[classifier.predict_proba(fresh).argmax(axis=2)]
    found = {fault: np.mean(chosen[truth == fault] == fault) for fault in classifier.classes}
    assert min(found.values()) > 0.7, found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_learned_is_arrays_and_json_alone(name):
    panel = sample()
    state = make(name).fit(panel, planted_classes(panel)).state
    assert all(isinstance(value, str | np.ndarray) for value in state.values())


EVERY = [name for name, kind in catalog.entries() if kind.kind == "classifier"]
TINY = {"trees": 5, "rounds": 5, "folds": 1, "background": 5, **FEW}
word = st.text(string.ascii_letters + "äß漢 \n\x1f,|\"'", max_size=6)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=8)
@given(st.data())
def test_a_word_means_for_ever_what_it_meant_in_training(name, data):
    """Whatever the words: saved, in another order, beside others, cut in time, and among words never seen."""
    fields = catalog.get(name).Params.__dataclass_fields__
    panel = sample(n_entity=12, n_time=6)
    known = data.draw(st.lists(word, min_size=12, max_size=12))
    daily = data.draw(st.lists(word, min_size=72, max_size=72))
    words = {"brand": np.array(known), "match": np.array(daily).reshape(12, 6)}
    taught = dataclasses.replace(panel, words=words)
    model = catalog.make(name, **{key: value for key, value in TINY.items() if key in fields})
    shares = model.fit(taught, planted_classes(panel)).predict_proba(taught)
    again = type(model)(model.params, state=unpack(pack(model.state)))
    np.testing.assert_array_equal(again.predict_proba(taught), shares)
    turned = taught.select(entities=taught.entities[::-1], times=slice(0, 4))
    np.testing.assert_array_equal(again.predict_proba(turned)[::-1], shares[:, :4])
    strange = data.draw(word.filter(lambda one: one not in {*known, *daily}))
    told = [
        again.predict_proba(dataclasses.replace(panel, words={**words, "brand": np.full(12, one)}))
        for one in (strange, "")
    ]
    np.testing.assert_array_equal(*told)


def test_a_row_dropped_for_its_gap_gets_the_shares_of_the_classes():
    panel = sample()
    values = panel.values.copy()
    values[3, 7, 4] = np.nan
    classifier = make("logistic", missing="drop", weights="equal")
    classifier.fit(panel, planted_classes(panel))
    answer = classifier.predict_proba(panel.with_values(values))
    _, counts = np.unique(planted_classes(panel), return_counts=True)
    np.testing.assert_allclose(answer[3, 7], counts / counts.sum())


def test_a_class_whose_rows_are_all_dropped_is_refused():
    panel = sample()
    values, labels = panel.values.copy(), planted_classes(panel)
    values[labels == "up", 4] = np.nan
    with pytest.raises(NotEnoughDataError, match="without a gap"):
        make("logistic", missing="drop").fit(panel.with_values(values), labels)


def test_a_pool_smaller_than_the_labels_is_drawn_by_the_seed():
    panel = sample()
    labels = planted_classes(panel)
    first, again, other = (
        make("logistic", pool=200, seed=seed).fit(panel, labels).state["slope"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_growing_in_parts_grows_the_same_forest_and_can_be_stopped_between():
    panel = sample()
    steps = []
    whole = RandomForest(RandomForest.Params.of({**FEW, "trees": 60}))
    whole.fit(panel, planted_classes(panel), lambda *step: steps.append(step))
    told = [numbers["trees"] for stage, _, numbers in steps if stage == "train"]
    assert told == [25, 50, 60]
