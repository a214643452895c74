"""Which version scores: promoted with a reason, taken back at once, told to people when it cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import rollback
from benchmarks.rollback import Load
from core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from core.evaluate.held_out import figures
from data import predictions
from models.serve import Serve
from models.train import train
from tests.workbench import versions
from tests.workbench.conftest import Clock
from workbench.context import Context
from workbench.services import models, promotion

Publish = Callable[..., str]


@pytest.fixture
def published(ctx: Context, clock: Clock) -> Publish:
    """Publish a version; other parameters make another one."""

    def make(tenant: str = "acme", **params: object) -> str:
        clock.advance(seconds=1)
        return versions.published(ctx, tenant, **params)

    return make


def put_to_work(ctx: Context, *versions: str) -> None:
    for version in versions:
        models.promote(ctx, "acme", version, reason="better", actor="ana")


def file_of(ctx: Context, version: str, name: str = "arrays.safetensors") -> Path:
    return ctx.registry.root / "robust-z" / version / name


def damage(ctx: Context, version: str, name: str = "arrays.safetensors") -> None:
    path = file_of(ctx, version, name)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def test_promoting_and_rolling_back_say_who_scores_now(
    ctx: Context, clock: Clock, published: Publish
) -> None:
    first, second = published(), published(largest=2)
    moved = models.promote(ctx, "acme", first, reason="first", actor="ana")
    assert (moved.champion, moved.previous, moved.by) == (first, "", "ana")
    put_to_work(ctx, second)
    at = clock.advance(minutes=5)
    back = models.rollback(ctx, "acme", domain="ads", reason="too loud", actor="bob")
    assert (back.verb, back.champion, back.previous) == ("rollback", first, second)
    assert (back.by, back.at) == ("bob", at)
    assert ctx.serve.champion("acme", "ads").version.id == first
    told = models.history(ctx, "acme", "ads")
    assert [(move.verb, move.champion, move.stands) for move in told] == [
        ("rollback", first, False),
        ("promote", second, False),
        ("promote", first, True),
    ]
    assert (told[0].reason, told[0].by) == ("too loud", "bob")
    assert models.history(ctx, "rival", "ads") == []
    assert len(models.history(ctx, "acme", "ads", limit=1)) == 1


def test_a_version_below_a_minimum_needs_an_override_that_the_audit_keeps(
    ctx: Context, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gate(*_: object, override: bool, **__: object) -> str:
        if not override:
            raise PermissionDeniedError.of("promote", "anomaly F1", "at least 0.88", 0.71)
        return " [override: anomaly F1 0.71]"

    first, second = published(), published(largest=2)
    put_to_work(ctx, first)
    monkeypatch.setattr(promotion, "gate", gate)
    with pytest.raises(PermissionDeniedError, match="anomaly F1"):
        models.promote(ctx, "acme", second, reason="need it", actor="ana")
    assert ctx.serve.champion("acme", "ads").version.id == first
    models.promote(ctx, "acme", second, reason="need it", actor="ana", override=True)
    assert models.history(ctx, "acme", "ads")[0].reason == "need it [override: anomaly F1 0.71]"


def test_who_looked_before_somebody_else_moved_is_told(ctx: Context, published: Publish) -> None:
    first, second, third = (published(largest=count) for count in (1, 2, 3))
    put_to_work(ctx, first, second)
    with pytest.raises(ConflictError, match=f"move 2, {second} by ana"):
        models.promote(ctx, "acme", third, reason="late", actor="bob", seen=1)
    with pytest.raises(ConflictError):
        models.rollback(ctx, "acme", domain="ads", reason="late", actor="bob", seen=1)
    with pytest.raises(InvalidInputError, match="reason"):
        models.promote(ctx, "acme", third, reason="", actor="bob")
    with pytest.raises(NotFoundError):
        models.promote(ctx, "rival", third, reason="not theirs", actor="zoe")


def test_metrics_are_made_again_from_the_stored_predictions(
    ctx: Context, published: Publish
) -> None:
    version = published()
    told = models.get(ctx, "acme", version)
    assert told["recomputed"] == {
        name: value for name, value in told["metrics"].items() if name != "fit_seconds"
    }
    kept = ctx.registry.predictions("acme", version)
    assert kept is not None
    assert figures(predictions.unpack(kept)) == told["recomputed"]
    assert told["manifest"]["libraries"]["headwater"].startswith("0.")
    assert models.verify(ctx, "acme")["ok"]


def test_figures_that_the_predictions_do_not_give_are_found(
    ctx: Context, published: Publish, clock: Clock
) -> None:
    published()
    clock.advance(seconds=1)
    panel = versions.panel()
    trained = train(panel, name="robust-z")
    assert trained.predictions is not None
    boasting = {**trained.metrics, "score_99": 0.1}
    wrong = ctx.registry.publish(
        "acme",
        domain="ads",
        algorithm=trained.algorithm,
        probes=panel,
        training=trained.training,
        metrics=boasting,
        predictions=predictions.pack(trained.predictions),
        actor="ana",
    ).id
    report = models.verify(ctx, "acme")
    assert (report["ok"], report["checked"]) == (False, 2)
    (bad,) = [row for row in report["versions"] if not row["ok"]]
    assert (bad["version"], bad["error"]) == (wrong, "SelfTestError")
    assert "metrics score_99" in bad["message"]


def test_predictions_that_somebody_changed_are_found_and_the_model_still_serves(
    ctx: Context, published: Publish
) -> None:
    version = published()
    put_to_work(ctx, version)
    damage(ctx, version, "predictions.parquet")
    assert models.verify(ctx, "acme")["versions"][0]["error"] == "ChecksumMismatchError"
    assert ctx.serve.champion("acme", "ads").notice == ""


def test_people_are_told_when_something_else_scores(ctx: Context, published: Publish) -> None:
    first, second = published(), published(largest=2)
    damaged = published(largest=3)
    put_to_work(ctx, first, second, damaged)
    assert models.notice(ctx, "acme", "ads") == ""
    damage(ctx, damaged)
    assert models.notice(ctx, "acme", "ads") == ""  # the loaded one is sound and serves
    restarted = replace(ctx, serve=Serve(ctx.registry))
    told = models.notice(restarted, "acme", "ads")
    assert told.startswith(f"Champion {damaged} was refused, {second} serves")
    assert told.endswith(models.CURE)
    assert restarted.serve.champion("acme", "ads").version.id == second


def test_loading_and_verifying_never_open_the_private_key(ctx: Context, published: Publish) -> None:
    first, second = published(), published(largest=2)
    key = ctx.registry.keys.folder / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.unlink()
    put_to_work(ctx, first, second)
    models.rollback(ctx, "acme", domain="ads", reason="try", actor="ana")
    ctx.serve.champion("acme", "ads")
    assert models.verify(ctx, "acme")["ok"]
    assert models.get(ctx, "acme", second)["manifest"]["version"] == second
    assert not key.exists()


# ── rollback under load ──────────────────────────────────────────────────────────────────────────


def under_load(ctx: Context, published: Publish, rounds: int) -> Load:
    pair = [published(), published(largest=2)]
    put_to_work(ctx, pair[0])
    panel = versions.panel(4)
    return rollback.under_load(
        ctx, "acme", panel, pair, rounds, lambda: ctx.serve.champion("acme", "ads")
    )


def test_no_score_fails_while_the_champion_goes_to_and_fro(
    ctx: Context, published: Publish
) -> None:
    load = under_load(ctx, published, 200)
    assert load.failed == []
    assert len(load.scores) == 2
    alias = ctx.registry.store.alias("acme", "ads", "champion")
    assert alias is not None
    assert alias.version == 401


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_score_fails_in_ten_thousand_rounds(ctx: Context, published: Publish) -> None:
    load = under_load(ctx, published, 10_000)
    assert load.failed == []
    assert len(load.scores) == 2
