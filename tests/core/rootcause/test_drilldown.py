from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.cases import WHOLE, Alarm, Case, Cube, Truth, combination, none_found
from core.errors import InvalidInputError, NotEnoughDataError
from core.rootcause.drilldown import TERMS, WEIGHTS, DimensionDrilldown, DrilldownParams
from core.samples import CUBE_ROOT, planted_case, planted_cube_case

PUBLIC = Path(__file__).parents[4] / "shared" / "data" / "services" / "robustspot_a"


def struck(broken: list[dict[str, str]], share: float = 0.2, last: int = 1, seed: int = 1) -> Case:
    """The quiet cube, with a share of whatever the combinations hold failing over the last minutes."""
    case = planted_cube_case(effect=0.0)
    cube = whole(case)
    rng = np.random.default_rng(seed)
    value = cube.value.copy()
    for one in broken:
        rows = np.ones(len(cube.leaves), dtype=bool)
        for attribute, text in one.items():
            column = cube.attributes.index(attribute)
            rows &= cube.leaves[:, column] == cube.vocabularies[column].index(text)
        left = (cube.count - value)[rows, -last:].astype(int)
        value[rows, -last:] += rng.binomial(left, share)
    return replace(case, cube=replace(cube, value=value))


def whole(case: Case) -> Cube:
    assert case.cube is not None
    return case.cube


def roots(case: Case, n: int = 1, **params: object) -> set[str]:
    localizer = DimensionDrilldown(DrilldownParams.of(params))
    return {cause.node for cause in localizer.find(case)[:n]}


def test_the_planted_combination_comes_first_with_what_it_explains() -> None:
    best = DimensionDrilldown().find(planted_cube_case())[0]
    assert best.node == CUBE_ROOT
    assert best.confidence > 0.9
    assert best.path == (CUBE_ROOT, WHOLE)
    assert set(best.terms) == {*TERMS, "own"}
    assert best.score == pytest.approx(sum(best.terms.values()))
    assert best.evidence == (
        "33.3% instead of 1.6% of 838",
        "99% of the excess in 9% of the whole",
        "1.9% instead of 1.9% elsewhere",
    )


def test_explained_is_the_share_of_the_binomial_deviance() -> None:
    """By hand: two leaves, 10 of 100 usual in both, 55 of 100 in the first now; the second stays."""
    value, count = np.array([[10.0, 55.0], [10.0, 10.0]]), np.full((2, 2), 100.0)
    times = np.datetime64("2026-03-02", "s") + np.arange(2) * np.timedelta64(60, "s")
    cube = Cube(("side",), (("left", "right"),), np.array([[0], [1]]), value, count, times)
    case = replace(planted_cube_case(), alarm=Alarm(WHOLE, times[-1]), cube=cube)
    best = DimensionDrilldown(DrilldownParams(prior=0.0)).find(case)[0]
    assert best.node == combination({"side": "left"})
    parts = dict(zip(TERMS, WEIGHTS, strict=True))
    # one further half of the left fits it exactly, and the right loses nothing
    assert best.terms["explained"] == pytest.approx(parts["explained"])
    assert best.terms["coverage"] == pytest.approx(parts["coverage"])
    assert best.terms["spill"] == pytest.approx(0.0)
    assert best.terms["lift"] == pytest.approx(parts["lift"] * np.log(56 / 11))


def test_two_values_that_broke_at_once_come_first_together() -> None:
    broken = [{"device": "tv"}, {"device": "ios"}]
    assert roots(struck(broken), 2) == {combination(one) for one in broken}


def test_what_broke_everywhere_is_the_whole() -> None:
    best = DimensionDrilldown().find(struck([{}]))[0]
    assert best.node == WHOLE
    assert best.path == (WHOLE,)
    assert best.hops == 0


def test_a_narrow_root_is_not_widened_and_a_wide_one_not_narrowed() -> None:
    narrow = {"device": "web", "protocol": "h3", "region": "us"}
    assert roots(struck([narrow], share=0.5)) == {combination(narrow)}
    assert roots(struck([{"protocol": "h3"}])) == {combination({"protocol": "h3"})}


def test_onset_is_the_first_minute_of_the_run() -> None:
    best = DimensionDrilldown().find(struck([{"region": "in"}], last=3))[0]
    assert best.onset == whole(planted_cube_case()).times[-3]


def test_a_fall_of_what_is_good_is_found_like_a_rise_of_what_is_bad() -> None:
    case = struck([{"device": "tv"}])
    cube = whole(case)
    good = replace(case, cube=replace(cube, value=cube.count - cube.value))
    bad, fallen = (DimensionDrilldown().find(one)[0] for one in (case, good))
    assert (fallen.node, fallen.score) == (bad.node, pytest.approx(bad.score))
    assert fallen.evidence[0].startswith("79.2% instead of 98")
    # asked for rises alone, the fall is no news
    assert roots(good, 1, direction="up") != {bad.node}


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_sums_without_a_bound_are_read_as_rates(factor: float) -> None:
    case = planted_cube_case()
    cube = whole(case)
    rng = np.random.default_rng(2)
    rate = rng.gamma(3, 60, len(cube.leaves))[:, None] * np.ones((1, 12))
    rate[cube.leaves[:, 0] == 1, -1] *= factor
    money = replace(cube, value=rng.poisson(rate) * 1.0, count=np.ones_like(cube.count))
    assert roots(replace(case, cube=money)) == {combination({"region": "us"})}


def test_quiet_minutes_leave_doubt() -> None:
    for seed in range(8):
        causes = DimensionDrilldown().find(planted_cube_case(effect=0.0, seed=seed))
        assert none_found(causes)


def test_other_names_and_another_order_change_nothing() -> None:
    case = struck([{"region": "eu", "device": "tv"}], share=0.1)
    cube, rng = whole(case), np.random.default_rng(3)
    shuffled = rng.permutation(len(cube.leaves))
    codes = [rng.permutation(len(words)) for words in cube.vocabularies]
    leaves = np.stack([code[cube.leaves[:, at]] for at, code in enumerate(codes)], axis=1)
    words = tuple(tuple(f"v{at}" for at in range(len(code))) for code in codes)
    columns = [2, 0, 1]
    other = Cube(
        ("p", "q", "r"),
        tuple(words[column] for column in columns),
        leaves[shuffled][:, columns],
        cube.value[shuffled],
        cube.count[shuffled],
        cube.times,
    )
    plain, renamed = (DimensionDrilldown().find(one) for one in (case, replace(case, cube=other)))
    assert [cause.score for cause in renamed] == pytest.approx([cause.score for cause in plain])
    asked = {"p": "protocol", "q": "region", "r": "device"}
    back = {
        asked[attribute]: cube.vocabularies[cube.attributes.index(asked[attribute])][
            codes[cube.attributes.index(asked[attribute])].tolist().index(int(word[1:]))
        ]
        for attribute, word in json.loads(renamed[0].node).items()
    }
    assert combination(back) == plain[0].node


def test_minutes_after_the_alarm_are_not_looked_at() -> None:
    case = struck([{"device": "tv"}], last=4)
    cube = whole(case)
    early = replace(case, alarm=Alarm(WHOLE, cube.times[-4]))
    value = cube.value.copy()
    value[:, -3:] = 0.0
    rewritten = replace(early, cube=replace(cube, value=value))
    assert DimensionDrilldown().find(early) == DimensionDrilldown().find(rewritten)


def test_leaves_without_an_attribute_stay_out_of_its_combinations() -> None:
    case = struck([{"device": "tv"}])
    cube = whole(case)
    leaves = cube.leaves.copy()
    leaves[::5, 2] = -1
    assert roots(replace(case, cube=replace(cube, leaves=leaves))) == {
        combination({"device": "tv"})
    }


def test_learning_turns_the_weights_towards_what_is_right() -> None:
    names = [{"region": "eu"}, {"device": "web"}, {"protocol": "h2", "region": "in"}]
    cases = [struck([name], share=0.1, seed=at) for at, name in enumerate(names)]
    truths = [Truth((combination(name),)) for name in names]
    taught = DimensionDrilldown().learned(cases, truths)
    weights = dict(zip(TERMS, np.asarray(taught.state["weights"]).tolist(), strict=True))
    assert weights["explained"] > 0 > weights["company"]
    assert taught.find(cases[2])[0].node == combination(names[2])
    with pytest.raises(NotEnoughDataError, match="among its candidates"):
        DimensionDrilldown().learned(cases[:1], [Truth(("{}x",))])


def test_a_case_that_cannot_be_judged_is_refused() -> None:
    case = planted_cube_case()
    cube = whole(case)
    with pytest.raises(NotEnoughDataError, match="at least 1 before that of the alarm"):
        DimensionDrilldown().find(replace(case, alarm=Alarm(WHOLE, cube.times[0])))
    with pytest.raises(InvalidInputError, match="value must be 0 or above"):
        DimensionDrilldown().find(replace(case, cube=replace(cube, value=cube.value - 30.0)))
    with pytest.raises(InvalidInputError, match="must be of dimensions"):
        DimensionDrilldown().find(planted_case())


def test_the_public_cases_are_found_and_give_the_weights_that_ship() -> None:
    """RobustSpot, 60 cases: held out by stream .83 first and .97 among the first three."""
    if not PUBLIC.is_dir():
        pytest.skip("the labelled cases of ../shared/data/services/robustspot_a are not here")
    from data.cause_suites import suite

    public = suite(PUBLIC)
    cases = [public.case(name) for name in public.cases]
    truths = [public.truth(name) for name in public.cases]
    streams = np.array([name.rpartition("_")[2] for name in public.cases])
    localizer = DimensionDrilldown()
    assert np.allclose(localizer.learned(cases, truths).state["weights"], WEIGHTS, atol=0.05)
    parts = np.array([number(stream) % 5 for stream in streams])
    first, third = [], []
    for part in range(5):
        others = np.flatnonzero(parts != part)
        taught = localizer.learned([cases[at] for at in others], [truths[at] for at in others])
        for at in np.flatnonzero(parts == part):
            ranking = [cause.node for cause in taught.find(cases[at])]
            wanted = set(truths[at].roots)
            first.append(wanted <= set(ranking[: len(wanted)]))
            third.append(wanted <= set(ranking[: len(wanted) + 2]))
    assert np.mean(first) >= 0.75
    assert np.mean(third) >= 0.93


def number(stream: str) -> int:
    """A number of a name that is the same in every process."""
    return sum(stream.encode())
