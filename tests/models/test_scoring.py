"""Rows scored together get what each gets alone; queues are bounded, tenants and versions never meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

import numpy as np
import pytest

from core import catalog
from core.contracts import Panel
from core.errors import (
    BusyError,
    InvalidInputError,
    NotFoundError,
    PersistenceError,
    PredictionError,
    StoreError,
)
from models import scoring
from models.registry import Registry
from models.scoring import Key, Rows, RowScorer, Scored, form_of
from models.serve import Serve
from models.train import publish, train

Publish = Callable[..., str]
LONG = 30.0


@pytest.fixture
def scorer(registry: Registry) -> Iterator[RowScorer]:
    found = RowScorer(Serve(registry))
    yield found
    found.close()


def rows(panel: Panel, *places: int, past: int = 0) -> Rows:
    """The newest period of some entities, with those before it."""
    values = panel.values[list(places), -(past + 1) :]
    return Rows(tuple(panel.entities[place] for place in places), panel.metrics, values)


def fitted(registry: Registry, panel: Panel, name: str, **params: object) -> str:
    trained = train(panel, name=name, params=params, held_out=0.0)
    return publish(registry, "acme", "ads", trained, panel, actor="ana").id


class Gate:
    """Scoring that waits until it may go on, and tells what was scored together."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[tuple[str, ...]] = []
        real = scoring.judged

        def judged(detector: Any, panel: Panel) -> Any:
            self.batches.append(panel.entities)
            self.begun.set()
            assert self.go.wait(LONG)
            if "broken" in panel.entities:
                raise PredictionError("a row that breaks it")
            return real(detector, panel)

        monkeypatch.setattr(scoring, "judged", judged)


def ready(scorer: RowScorer, panel: Panel, key: Key) -> None:
    """Load the version, so that what follows is scored by the one thread."""
    scorer.submit(key, rows(panel, 0), LONG).result(LONG)


@pytest.mark.parametrize(
    ("name", "params", "past"),
    [
        ("robust-z", {}, 0),
        ("ensemble", {"parts": "robust-z=1", "settings": "robust-z.scope=given"}, 0),
        ("isolation-forest", {"trees": 20, "sample": 256}, 14),
        ("ensemble", {"parts": "isolation-forest=0.5, half-space-trees=0.5"}, 14),
    ],
)
def test_scored_together_is_scored_alone_bit_for_bit(
    registry: Registry,
    panel: Panel,
    scorer: RowScorer,
    name: str,
    params: dict[str, object],
    past: int,
) -> None:
    key = Key("acme", "ads", fitted(registry, panel, name, **params))
    together = scorer.submit(key, rows(panel, *range(40), past=past), LONG).result(LONG)
    alone = [
        scorer.submit(key, rows(panel, place, past=past), LONG).result(LONG) for place in range(40)
    ]
    assert together.scores.tolist() == [float(one.scores[0]) for one in alone]
    assert len(set(together.scores.tolist())) > 10
    if together.p_values is not None:
        np.testing.assert_array_equal(together.scores, -np.log10(together.p_values) + 0.0)


def test_scores_are_those_of_a_run_over_the_panel(
    registry: Registry, panel: Panel, scorer: RowScorer
) -> None:
    version = fitted(registry, panel, "ensemble", parts="isolation-forest=1")
    ensemble: Any = registry.load("acme", version)
    got = scorer.submit(Key("acme", "ads", version), rows(panel, 3, 7, past=14), LONG).result(LONG)
    expected = ensemble.judge(panel, last=1)[0][[3, 7], -1]
    np.testing.assert_array_equal(got.p_values, expected)


def test_what_waits_for_one_version_is_scored_together(
    published: Publish, panel: Panel, scorer: RowScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = (Key("acme", "ads", published(largest=count)) for count in (1, 2))
    ready(scorer, panel, key)
    ready(scorer, panel, other)
    gate = Gate(monkeypatch)
    first = scorer.submit(key, rows(panel, 0), LONG)
    assert gate.begun.wait(LONG)
    later = [scorer.submit(key, rows(panel, place), LONG) for place in (1, 2, 3)]
    apart = scorer.submit(other, rows(panel, 1), LONG)
    gate.go.set()
    wait([first, *later, apart], LONG)
    names = panel.entities
    assert gate.batches == [names[:1], names[1:4], names[1:2]]
    assert apart.result().served.version.id == other.version
    assert {one.result().served.version.id for one in later} == {key.version}


def test_a_batch_ends_where_it_is_full_and_no_request_is_cut(
    registry: Registry, published: Publish, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = RowScorer(Serve(registry), batch=5)
    key = Key("acme", "ads", published())
    ready(scorer, panel, key)
    gate = Gate(monkeypatch)
    asked = [scorer.submit(key, rows(panel, 0), LONG)]
    assert gate.begun.wait(LONG)
    asked += [scorer.submit(key, rows(panel, *range(many)), LONG) for many in (3, 3, 2, 7, 1)]
    gate.go.set()
    wait(asked, LONG)
    scorer.close()
    assert [len(batch) for batch in gate.batches] == [1, 3, 5, 7, 1]
    assert [len(one.result().scores) for one in asked] == [1, 3, 3, 2, 7, 1]


def test_a_promotion_counts_for_rows_that_wait(
    registry: Registry,
    published: Publish,
    panel: Panel,
    scorer: RowScorer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = published(largest=1), published(largest=2)
    registry.promote("acme", "ads", old, actor="ana", reason="first")
    champion = Key("acme", "ads", "")
    ready(scorer, panel, Key("acme", "ads", new))
    ready(scorer, panel, champion)
    gate = Gate(monkeypatch)
    before = scorer.submit(champion, rows(panel, 0), LONG)
    assert gate.begun.wait(LONG)
    waiting = scorer.submit(champion, rows(panel, 0), LONG)
    registry.promote("acme", "ads", new, actor="ana", reason="better")
    gate.go.set()
    assert before.result(LONG).served.version.id == old
    assert waiting.result(LONG).served.version.id == new
    expected = catalog.make("robust-z", largest=2).fit(panel).score_last(panel)[0]
    assert waiting.result().scores.tolist() == [expected]


def test_a_full_queue_refuses_its_tenant_alone_and_takes_more_once_it_is_empty(
    registry: Registry, published: Publish, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = RowScorer(Serve(registry), waiting=4)
    ours, theirs = Key("acme", "ads", published()), Key("other", "ads", published("other"))
    ready(scorer, panel, ours)
    gate = Gate(monkeypatch)
    asked = [scorer.submit(ours, rows(panel, 0, 1), LONG)]
    assert gate.begun.wait(LONG)
    asked.append(scorer.submit(ours, rows(panel, 0, 1), LONG))
    with pytest.raises(BusyError, match=r"at most 4, then one has to wait\. Got 5"):
        scorer.submit(ours, rows(panel, 0), LONG)
    asked.append(scorer.submit(theirs, rows(panel, 0), LONG))
    gate.go.set()
    wait(asked, LONG)
    ready(scorer, panel, ours)
    scorer.close()
    assert all(one.exception() is None for one in asked)


def test_rows_that_waited_too_long_are_refused_and_not_scored(
    published: Publish, panel: Panel, scorer: RowScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key("acme", "ads", published())
    ready(scorer, panel, key)
    gate = Gate(monkeypatch)
    first = scorer.submit(key, rows(panel, 0), LONG)
    assert gate.begun.wait(LONG)
    late = scorer.submit(key, rows(panel, 1), 0.0)
    gate.go.set()
    with pytest.raises(BusyError, match="scored in time"):
        late.result(LONG)
    assert first.result(LONG).scores.shape == (1,)
    assert gate.batches == [panel.entities[:1]]


def test_one_bad_request_fails_alone(
    published: Publish, panel: Panel, scorer: RowScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key("acme", "ads", published())
    ready(scorer, panel, key)
    gate = Gate(monkeypatch)
    first = scorer.submit(key, rows(panel, 0), LONG)
    assert gate.begun.wait(LONG)
    good = rows(panel, 1)
    broken = Rows(("broken",), good.features, good.values)
    asked = [scorer.submit(key, one, LONG) for one in (good, broken, good)]
    gate.go.set()
    wait([first, *asked], LONG)
    assert [one.exception() is None for one in asked] == [True, False, True]
    assert isinstance(asked[1].exception(), PredictionError)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda names: names[:-1], "aov missing"),
        (lambda names: (*names, "cost"), "cost extra"),
        (lambda names: (names[1], names[0], *names[2:]), "impressions, ctr reordered"),
        (lambda names: (*names[:-1], "AOV"), "aov renamed to AOV"),
    ],
)
def test_features_that_are_not_the_versions_are_named(
    published: Publish,
    panel: Panel,
    scorer: RowScorer,
    change: Callable[[tuple[str, ...]], tuple[str, ...]],
    wrong: str,
) -> None:
    names = change(panel.metrics)
    asked = Rows(("x",), names, np.zeros((1, 1, len(names))))
    with pytest.raises(InvalidInputError, match=wrong):
        scorer.submit(Key("acme", "ads", published()), asked, LONG).result(LONG)


def test_a_version_that_looks_back_wants_the_past_and_says_how_much(
    registry: Registry, panel: Panel, scorer: RowScorer
) -> None:
    version = fitted(registry, panel, "isolation-forest", trees=10, sample=64)
    with pytest.raises(InvalidInputError, match=f"14, as version {version} judges by 15"):
        scorer.submit(Key("acme", "ads", version), rows(panel, 0), LONG).result(LONG)


def test_a_version_that_hears_the_other_rows_is_refused(panel: Panel) -> None:
    trees = catalog.make("half-space-trees", trees=10, window=60).fit(panel)
    listening: Any = type("Listening", (type(trees),), {"frozen": lambda self: self})
    heard = listening(trees.params, state=trees.state)
    with pytest.raises(InvalidInputError, match="also hears other entities"):
        form_of(heard, panel)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (Key("acme", "ads", ""), NotFoundError),
        (Key("acme", "ads", "nobody"), NotFoundError),
        (Key("other", "ads", "mine"), NotFoundError),
        (Key("acme", "services", "mine"), InvalidInputError),
    ],
)
def test_what_is_not_there_is_told(
    published: Publish, panel: Panel, scorer: RowScorer, key: Key, error: type[Exception]
) -> None:
    mine = published()
    key = key._replace(version=mine if key.version == "mine" else key.version)
    with pytest.raises(error):
        scorer.submit(key, rows(panel, 0), LONG).result(LONG)


def test_a_damaged_version_never_scores_and_a_stand_in_says_so(
    registry: Registry, published: Publish, panel: Panel, scorer: RowScorer
) -> None:
    good, bad = published(largest=1), published(largest=2)
    for version in (good, bad):
        registry.promote("acme", "ads", version, actor="ana", reason="test")
    path = registry.root / "robust-z" / bad / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(PersistenceError):
        scorer.submit(Key("acme", "ads", bad), rows(panel, 0), LONG).result(LONG)
    served = scorer.submit(Key("acme", "ads", ""), rows(panel, 0), LONG).result(LONG).served
    assert served.version.id == good
    assert bad in served.notice


def test_those_who_gave_up_are_not_scored(
    published: Publish, panel: Panel, scorer: RowScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key("acme", "ads", published())
    ready(scorer, panel, key)
    gate = Gate(monkeypatch)
    first = scorer.submit(key, rows(panel, 0), LONG)
    assert gate.begun.wait(LONG)
    gone, kept = (scorer.submit(key, rows(panel, place), LONG) for place in (1, 2))
    assert gone.cancel()
    gate.go.set()
    wait([first, kept], LONG)
    assert gate.batches == [panel.entities[:1], panel.entities[2:3]]


def test_closing_refuses_what_waits_and_what_comes(
    published: Publish, panel: Panel, scorer: RowScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Key("acme", "ads", published())
    ready(scorer, panel, key)
    gate = Gate(monkeypatch)
    first = scorer.submit(key, rows(panel, 0), LONG)
    assert gate.begun.wait(LONG)
    waiting: Future[Scored] = scorer.submit(key, rows(panel, 1), LONG)
    closing = threading.Thread(target=scorer.close)
    closing.start()
    while not scorer._closed:
        threading.Event().wait(0.01)
    gate.go.set()
    closing.join(LONG)
    assert first.result(LONG).scores.shape == (1,)
    with pytest.raises(StoreError, match="shutting down"):
        waiting.result(LONG)
    with pytest.raises(StoreError, match="shutting down"):
        scorer.submit(key, rows(panel, 1), LONG)
