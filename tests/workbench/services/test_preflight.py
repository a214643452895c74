"""Before a training: what the data allow, each refusal with its cure; and what it will take."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import catalog
from core.contracts import Periods
from core.errors import InvalidInputError, UnknownNameError
from core.samples import sample
from data.model_records import Job
from tests.conftest import TENANT
from workbench.context import Context
from workbench.services import jobs, preflight, training
from workbench.services.preflight import OK, REFUSED, WARNING, Check
from workbench.services.training_jobs import Learnable, as_ensemble

ASK: dict[str, Any] = {"domain": "ads", "params": {}, "start": None, "end": None}


@pytest.fixture
def ctx(open_home: Callable[..., Context], detected: Path) -> Context:
    return open_home(detected)


@pytest.fixture
def calm() -> Learnable:
    """90 days of 40 entities, of which two days of one are known to be odd."""
    panel = sample(n_entity=40, n_time=90)
    odd = np.zeros(panel.values.shape[:2], bool)
    odd[3, 80:82] = True
    return panel, odd


def checks(
    ctx: Context, learnable: Learnable, algorithm: str = "robust-z", **more: Any
) -> dict[str, Check]:
    found = preflight.preflight(ctx, TENANT, **ASK | more, algorithm=algorithm, learnable=learnable)
    ranks = [(REFUSED, WARNING, OK).index(check.status) for check in found]
    assert ranks == sorted(ranks), "the refusals come first"
    assert all(check.cure for check in found if check.status != OK)
    return {check.name: check for check in found}


def test_good_data_pass_and_the_split_is_told(ctx: Context, calm: Learnable) -> None:
    found = checks(ctx, calm)
    assert {check.status for check in found.values()} == {OK}
    assert found["rows"].message == "40 entities × 90 days: 58 to learn from, 18 to be judged by."
    assert found["class balance"].message.startswith("2 entity-days (0.06%)")
    assert "14 days lie between what is learned (2026-03-03) and what is judged (2026-03-18)" in (
        found["leakage: time order"].message
    )


def test_minutes_of_one_day_may_be_learned_from_and_judged_by(
    ctx: Context, calm: Learnable
) -> None:
    panel, odd = calm
    minute = np.timedelta64(60, "s")
    labels = np.datetime64("2026-03-03", "s") + np.arange(90) * minute
    by_minute = dataclasses.replace(panel, periods=Periods(labels, minute)), odd
    found = checks(ctx, by_minute, domain="services")
    assert {check.status for check in found.values()} == {OK}
    assert found["rows"].message.startswith("40 entities × 90 periods: ")
    assert "learned (2026-03-03 00:57) and what is judged (2026-03-03 01:12)" in (
        found["leakage: time order"].message
    )


def test_too_short_a_window_is_refused_with_what_is_needed(ctx: Context, calm: Learnable) -> None:
    found = checks(ctx, calm, "ensemble", start=date(2026, 3, 20))
    assert found["rows"].status == REFUSED
    assert "periods must be at least" in found["rows"].message
    assert "longer window" in found["rows"].cure
    nowhere = checks(ctx, calm, start=date(2027, 1, 1))
    assert nowhere["input"].status == REFUSED
    assert "the window must be days from 2026-01-05" in nowhere["input"].message


def test_what_is_not_installed_is_refused_with_the_command(
    ctx: Context, calm: Learnable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "absent", lambda _: ["prophet"])
    (found,) = checks(ctx, calm, "prophet").values()
    assert (found.status, found.cure) == (REFUSED, 'pip install -e ".[prophet]"')


def test_a_window_full_of_incidents_or_without_any_label_is_warned_of(
    ctx: Context, calm: Learnable
) -> None:
    panel, odd = calm
    assert checks(ctx, (panel, odd | True))["class balance"].status == WARNING
    bare = checks(ctx, (panel, odd & False))["class balance"]
    assert (bare.status, "only the alarm rate" in bare.message) == (WARNING, True)


def test_a_thin_window_is_warned_of(ctx: Context, calm: Learnable) -> None:
    panel, odd = calm
    values = panel.values.copy()
    values[:, ::2] = values[::3] = np.nan
    assert checks(ctx, (panel.with_values(values), odd))["observed"].status == WARNING


def test_parts_without_enough_days_are_named(ctx: Context, calm: Learnable) -> None:
    panel, odd = calm
    short = (panel.select(times=slice(0, 33)), odd[:, :33])
    found = checks(ctx, short, "ensemble")
    assert found["parts"].status == WARNING
    assert found["parts"].message == (
        "lstm-autoencoder needs 14 days to learn from and would have 10. It would be left out."
    )
    alone = checks(ctx, short, "lstm-autoencoder")
    assert alone["parts"].status == REFUSED, "nobody else would vote"


def test_a_part_must_vote_in_the_champion(ctx: Context, calm: Learnable) -> None:
    assert checks(ctx, calm, "half-space-trees", part=True)["part"].status == OK
    found = checks(ctx, calm, "robust-z", part=True)["part"]
    assert found.status == REFUSED
    assert "lstm-autoencoder, half-space-trees, isolation-forest" in found.message


# ── What it will take ────────────────────────────────────────────────────────────────────────────


def estimated(ctx: Context, learnable: Learnable, algorithm: str, **more: Any) -> Any:
    return preflight.estimate(ctx, TENANT, **ASK | more, algorithm=algorithm, learnable=learnable)


def test_more_work_takes_longer(ctx: Context, calm: Learnable) -> None:
    usual = estimated(ctx, calm, "isolation-forest")
    many = estimated(ctx, calm, "isolation-forest", params={"trees": 1000})
    trees = catalog.get("isolation-forest").Params().trees  # type: ignore[attr-defined]
    assert many.seconds == pytest.approx(usual.seconds * 1000 / trees)
    half = estimated(ctx, calm, "isolation-forest", end=date(2026, 2, 18))
    assert half.seconds == pytest.approx(usual.seconds / 2)
    assert half.bytes < usual.bytes
    whole = estimated(ctx, calm, "ensemble")
    parts = ("lstm-autoencoder", "half-space-trees", "isolation-forest")
    assert whole.seconds == pytest.approx(sum(estimated(ctx, calm, part).seconds for part in parts))
    quick = training.preset(catalog.get("ensemble"), "quick")
    assert estimated(ctx, calm, "ensemble", params=quick).seconds < whole.seconds / 2
    assert usual.how == "from speeds measured on one core"


def test_every_algorithm_that_can_be_trained_has_a_measured_speed(ctx: Context) -> None:
    for form in training.forms(ctx, TENANT, domain="ads"):
        if form.kind == "detector":
            assert form.name in preflight.MICROSECONDS, form.name


def test_an_earlier_training_tells_better_than_a_table(
    ctx: Context, calm: Learnable, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = estimated(ctx, calm, "robust-z")
    job = Job(
        id="j1",
        kind="train",
        payload={"algorithm": "robust-z", "params": {}},
        device="cpu",
        created_at=ctx.clock(),
    )
    learned = calm[0].values[..., 0].size * 0.8
    version = type("Version", (), {"metrics": {"rows_learned": learned, "fit_seconds": 7.0}})
    monkeypatch.setattr(preflight, "_earlier", lambda *_: [(job, version)])
    told = estimated(ctx, calm, "robust-z")
    assert told.seconds == pytest.approx(7.0)
    assert told.how.startswith("from the training of 15 Mar")
    assert usual.seconds < 1.0


# ── Forms and start ──────────────────────────────────────────────────────────────────────────────


def test_forms_name_what_can_score_a_domain_and_what_votes_in_its_champion(ctx: Context) -> None:
    found = {form.name: form for form in training.forms(ctx, TENANT, domain="ads")}
    assert {"ensemble", "robust-z", "lstm-autoencoder", "prophet"} <= set(found)
    assert not {"logistic", "bfs-temporal"} & set(found)
    assert [form.name for form in found.values() if form.is_part] == [
        name
        for name in found
        if name in ("lstm-autoencoder", "half-space-trees", "isolation-forest")
    ]
    assert next(iter(found.values())).kind == "ensemble"


def test_presets_are_parameters_that_the_algorithm_takes(ctx: Context) -> None:
    for form in training.forms(ctx, TENANT, domain="ads"):
        assert form.presets["standard"] == {}
        for values in form.presets.values():
            form.params.of(values)
    net = training.preset(catalog.get("lstm-autoencoder"), "quick")
    usual = catalog.get("lstm-autoencoder").Params()
    assert 0 < net["epochs"] < usual.epochs  # type: ignore[attr-defined]
    assert (
        "lstm-autoencoder.epochs=" in training.preset(catalog.get("ensemble"), "full")["settings"]
    )
    with pytest.raises(UnknownNameError, match="quick, standard, full"):
        training.preset(catalog.get("ensemble"), "huge")


def test_the_window_is_what_can_be_learned_from(ctx: Context, calm: Learnable) -> None:
    assert training.window(ctx, TENANT, domain="ads", learnable=calm) == (
        date(2026, 1, 5),
        date(2026, 4, 4),
    )
    first, last = training.window(ctx, TENANT, domain="ads")
    assert (last - first).days > 40
    assert training.domains(ctx, TENANT) == ("ads",)


def test_a_start_keeps_what_was_asked_and_refuses_what_the_preflight_refuses(
    ctx: Context,
) -> None:
    ask: dict[str, Any] = {"domain": "ads", "actor": "ana"}
    job = training.start(
        ctx, TENANT, algorithm="isolation-forest", params={"trees": "50"}, idem_key="k", **ask
    )
    assert job.payload["params"] == {"trees": 50}
    assert job.device == "cpu", "a GPU is of no use to trees"
    again = training.start(ctx, TENANT, algorithm="isolation-forest", idem_key="k", **ask)
    assert again.id == job.id
    net = training.start(ctx, TENANT, algorithm="ensemble", parent=job.id, **ask)
    assert (net.device, net.parent) == ("auto", job.id)
    with pytest.raises(InvalidInputError, match="at least") as short:
        training.start(ctx, TENANT, algorithm="ensemble", start=date(2026, 3, 12), **ask)
    assert short.value.hint
    assert len(jobs.listing(ctx, TENANT)) == 2


def test_an_algorithm_that_is_no_ensemble_votes_alone_in_one() -> None:
    assert as_ensemble("vote-50-30-20", {"seed": 3}) == ("vote-50-30-20", {"seed": 3})
    assert as_ensemble("robust-z", {"largest": 2, "seed": 5}) == (
        "ensemble",
        {"parts": "robust-z=1", "settings": "robust-z.largest=2", "seed": 5},
    )
