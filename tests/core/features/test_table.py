"""Fitted once on the training rows, saved, and the same transformation for ever."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.artifact import pack, unpack
from core.contracts import Periods
from core.errors import InvalidInputError
from core.features.table import FeatureParams, FeatureTable
from core.samples import sample

UNITS = {"cpc": "EUR", "ctr": "%"}
WORDS = {"match": np.array(["exact", "broad", ""] * 8)}
RICH = FeatureParams(ratios="cpc / ctr", products="ctr * cvr")


def worded(panel, words=WORDS):
    return dataclasses.replace(panel, words=words)


def fitted(params: FeatureParams = RICH, rows=None) -> FeatureTable:
    return FeatureTable.fit(worded(sample()), params, units=UNITS, rows=rows)


def column(features, name: str):
    return features.values[:, :, features.names.index(name)]


# ── What it makes ────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_feature_of_the_specification_is_there_by_name_and_unit():
    units = dict(fitted().schema.features)
    per_metric = [
        "",
        *(f"lag {lag}" for lag in (5, 10, 30, 60)),
        "change 1",
        *(f"{what} {span}" for span in (5, 10, 30) for what in ("mean", "std", "min", "max")),
        "skew 60",
        "kurtosis 60",
    ]
    wanted = [f"{metric} {what}".strip() for what in per_metric for metric in sample().metrics]
    rest = ["cpc / ctr", "ctr * cvr", "weekday sin", "weekday cos", "month sin", "month cos"]
    assert [*units] == [*wanted, *rest, "weekend", "part of month", "match"]
    told = ("cpc", "cpc lag 5", "cpc skew 60", "cpc / ctr", "ctr * cvr", "weekday sin")
    assert [units[name] for name in told] == ["EUR", "EUR", "", "EUR/%", "%", ""]


def test_features_stand_in_robust_standard_deviations_of_training():
    panel = sample()
    features = fitted().transform(worded(panel))
    values = panel.metric("cpc")
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    np.testing.assert_allclose(column(features, "cpc"), (values - middle) / spread)
    assert features.values.shape == (24, 42, 109)
    assert np.isfinite(features.values).all()
    assert np.unique(column(features, "match")).tolist() == [0, 1, 2]


def test_without_scaling_the_units_stay():
    params = dataclasses.replace(RICH, scaling="none")
    panel = sample()
    features = fitted(params).transform(worded(panel))
    np.testing.assert_array_equal(column(features, "cpc"), panel.metric("cpc"))
    ratio = panel.metric("cpc") / panel.metric("ctr")
    np.testing.assert_allclose(column(features, "cpc / ctr"), ratio)
    np.testing.assert_array_equal(
        column(features, "aov change 1")[:, 1:], np.diff(panel.metric("aov"), axis=1)
    )


def test_a_division_by_nothing_stands_at_the_centre():
    panel = sample()
    values = panel.values.copy()
    values[0, :, 1] = 0.0
    features = fitted().transform(worded(panel.with_values(values)))
    assert (column(features, "cpc / ctr")[0] == 0.0).all()


# ── Fitted once, on the training rows ────────────────────────────────────────────────────────────


def test_rows_that_do_not_train_leave_no_trace():
    rows = np.zeros((24, 42), dtype=bool)
    rows[:, :30] = True
    panel = sample()
    values = panel.values.copy()
    values[:, 30:] = 1e6
    changed = {"match": np.where(rows, np.array(["exact", "broad", ""] * 8)[:, None], "new")}
    wild = FeatureTable.fit(
        worded(panel.with_values(values), changed), RICH, units=UNITS, rows=rows
    )
    assert pack(wild.state) == pack(fitted(rows=rows).state)
    assert pack(wild.state) != pack(fitted().state)


def test_saved_and_opened_it_makes_the_same_features_bit_for_bit():
    table, fresh = fitted(), worded(sample(seed=9))
    again = FeatureTable.of(unpack(pack(table.state)))
    assert (again.schema, again.params) == (table.schema, table.params)
    for one in (fresh, fresh.select(entities=fresh.entities[:2], times=slice(0, 3))):
        np.testing.assert_array_equal(again.transform(one).values, table.transform(one).values)


def test_no_feature_looks_ahead():
    table, panel = fitted(), worded(sample())
    values = panel.values.copy()
    values[:, 30:] *= 7.0
    whole = table.transform(panel.with_values(values)).values[:, :30]
    cut = table.transform(panel.select(times=slice(0, 30))).values
    np.testing.assert_array_equal(whole, cut)


# ── Missing values ───────────────────────────────────────────────────────────────────────────────


def gappy():
    panel = sample()
    values = panel.values.copy()
    values[0, 10:13, 2] = np.nan
    return panel.with_values(values)


@pytest.mark.parametrize("missing", ["forward", "interpolate", "drop"])
def test_filled_cells_stay_marked(missing):
    params = dataclasses.replace(RICH, missing=missing, scaling="none")
    panel = gappy()
    features = fitted(params).transform(worded(panel))
    np.testing.assert_array_equal(features.filled, np.isnan(panel.values))
    assert features.kept.all() == (missing != "drop")
    assert (~features.kept).sum() == (3 if missing == "drop" else 0)
    there, known = column(features, "cpc")[0], sample().metric("cpc")[0]
    if missing == "forward":
        np.testing.assert_array_equal(there[10:13], known[9])
    if missing == "interpolate":
        line = known[9] + (known[13] - known[9]) * np.arange(1, 4) / 4
        np.testing.assert_allclose(there[10:13], line)


def test_a_metric_that_nobody_delivers_stands_at_the_centre_of_training():
    panel = sample()
    values = panel.values.copy()
    values[:, :, 3] = np.nan
    features = fitted().transform(worded(panel.with_values(values)))
    assert (column(features, "cvr mean 5") == 0.0).all()


# ── The schema is checked ────────────────────────────────────────────────────────────────────────


def test_a_missing_extra_renamed_or_reordered_input_is_named():
    table, panel = fitted(), worded(sample())
    renamed = panel.with_values(panel.values, ("impressions", "ctr", "price", "cvr", "aov"))
    turned = panel.select(metrics=("ctr", "impressions", "cpc", "cvr", "aov"))
    hourly = dataclasses.replace(
        panel, periods=Periods(panel.periods.labels, np.timedelta64(1, "h"))
    )
    more = {**WORDS, "colour": WORDS["match"]}
    refused = {
        "aov missing": (panel.select(metrics=panel.metrics[:4]), None),
        "colour extra": (worded(panel, more), None),
        "match missing": (worded(panel, {}), None),
        "cpc renamed to price": (renamed, None),
        "impressions, ctr reordered": (turned, None),
        "cpc in 'USD' instead of 'EUR'": (panel, {**UNITS, "cpc": "USD"}),
        "periods of 3,600 s instead of 86,400 s": (hourly, None),
    }
    for said, (asked, units) in refused.items():
        with pytest.raises(InvalidInputError) as raised:
            table.transform(asked, units=units)
        assert raised.value.context["got"] == said


def test_a_word_that_is_missing_is_unknown_and_teaches_nothing():
    gaps = worded(sample(), {"match": np.array(["exact", "", ""] * 8)})
    table = FeatureTable.fit(gaps, RICH, units=UNITS)
    assert table.words["match"].words == ("exact",)
    codes = column(table.transform(gaps), "match")
    assert codes[:3, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("match", WORDS["match"][:5]),
        ("match", np.array(["exact", None, ""] * 8, dtype=object)),
        ("match", np.arange(24)),
        ("cpc", WORDS["match"]),
    ],
)
def test_words_that_are_no_text_of_a_column_of_their_own_are_refused_by_name(name, words):
    with pytest.raises(InvalidInputError, match=f"column {name} must be"):
        worded(sample(), {name: words})


@pytest.mark.parametrize(
    ("name", "text"), [("lags", "5, soon"), ("spans", "0"), ("ratios", "cpc"), ("products", "* a")]
)
def test_a_list_that_cannot_be_read_is_refused_when_it_is_written(name, text):
    with pytest.raises(InvalidInputError, match=name):
        FeatureParams.of({name: text})
