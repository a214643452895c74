"""One load for many threads, few models kept, and the last good version when the champion is broken."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from core.contracts import Algorithm, Detector, Panel
from core.detectors.robust_z import RobustZ
from core.errors import ChecksumMismatchError, NotFoundError
from models.registry import Registry
from models.serve import Serve
from models.train import publish, train

Publish = Callable[..., str]
QUICK = (
    "lstm-autoencoder.hidden=8, lstm-autoencoder.latent=4, lstm-autoencoder.windows=200,"
    " lstm-autoencoder.epochs=2, half-space-trees.trees=10, half-space-trees.window=60"
)


def promote(registry: Registry, *versions: str) -> None:
    for version in versions:
        registry.promote("acme", "ads", version, actor="ana", reason="test")


def damage(registry: Registry, version: str) -> None:
    path = registry.root / "robust-z" / version / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


class Counting:
    """A registry's load, counted and held back until everybody is there."""

    def __init__(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.go = threading.Event()
        real = registry.load

        def load(tenant: str, version_id: str) -> Algorithm:
            self.calls.append(version_id)
            self.go.wait(10)
            return real(tenant, version_id)

        monkeypatch.setattr(registry, "load", load)


def test_many_threads_load_a_model_once(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(registry, published())
    counting = Counting(registry, monkeypatch)
    serve = Serve(registry)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(serve.champion, "acme", "ads") for _ in range(8)]
        counting.go.set()
        models = {id(future.result().algorithm) for future in waiting}
    assert len(models) == len(counting.calls) == 1


def test_the_cache_is_bounded_and_forgets_the_least_used(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [registry.store.get("acme", published(largest=count)) for count in (1, 2, 3)]
    counting = Counting(registry, monkeypatch)
    counting.go.set()
    serve = Serve(registry, capacity=2)
    first, second, third = versions
    for version in (first, second, first, third, first, second):
        serve.load(version)
    assert counting.calls == [first.id, second.id, third.id, second.id]


def test_a_released_model_gives_its_memory_back(
    registry: Registry, published: Publish, panel: Panel
) -> None:
    serve = Serve(registry, capacity=1)
    first, second = (registry.store.get("acme", published(largest=count)) for count in (1, 2))
    model = serve.load(first)
    assert isinstance(model, Detector)
    model.score(panel)
    watched = [weakref.ref(part) for part in (model, *arrays(model))]
    assert len(watched) == 3
    del model
    serve.load(second)
    assert [watch() for watch in watched] == [None] * len(watched)


def test_a_released_ensemble_of_nets_gives_its_memory_back(
    registry: Registry, panel: Panel
) -> None:
    parts = {"parts": "lstm-autoencoder=1, half-space-trees=1", "settings": QUICK}
    trained = train(panel, name="ensemble", params=parts, held_out=0.0)
    version = publish(registry, "acme", "ads", trained, panel, actor="ana")
    serve = Serve(registry, capacity=1)
    model = serve.load(version)
    assert isinstance(model, Detector)
    model.score(panel)
    watched = [
        weakref.ref(part) for part in (model, *model.scorer.members.values(), *arrays(model))
    ]
    assert len(watched) > 10
    del model, trained
    with pytest.raises(NotFoundError):
        serve.load(SimpleNamespace(tenant="acme", digest="another", id="another"))  # type: ignore[arg-type]
    gc.collect()
    assert [watch() for watch in watched] == [None] * len(watched)


def test_gpu_memory_is_given_back_where_there_is_any(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[bool] = []
    cuda = SimpleNamespace(is_initialized=lambda: True, empty_cache=lambda: emptied.append(True))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    serve = Serve(registry, capacity=2)
    versions = [registry.store.get("acme", published(largest=count)) for count in (1, 2, 3)]
    for version in versions[:2]:
        serve.load(version)
    assert emptied == []
    serve.load(versions[2])
    assert emptied == [True]


def arrays(model: Algorithm) -> list[np.ndarray]:
    """What a model has learned, as far as it is arrays of its own."""
    return [value for value in model.state.values() if isinstance(value, np.ndarray)]


def test_without_a_champion_the_cure_is_told(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="headwater detect"):
        Serve(registry).champion("acme", "ads")


def test_the_last_good_version_serves_when_the_champion_is_broken(
    registry: Registry, published: Publish
) -> None:
    oldest, older, newest = published(), published(largest=2), published(largest=3)
    published(largest=4)
    promote(registry, oldest, older, newest)
    damage(registry, newest)
    served = Serve(registry).champion("acme", "ads")
    assert served.version.id == older
    assert newest in served.notice
    assert "SHA-256" in served.notice
    damage(registry, older)
    assert Serve(registry).champion("acme", "ads").version.id == oldest
    damage(registry, oldest)
    with pytest.raises(ChecksumMismatchError, match=newest):
        Serve(registry).champion("acme", "ads")


def test_a_version_that_was_rolled_back_does_not_stand_in(
    registry: Registry, published: Publish
) -> None:
    oldest, older, newest = published(), published(largest=2), published(largest=3)
    promote(registry, oldest, older, newest)
    registry.rollback("acme", "ads", actor="ana", reason="too many alarms")
    damage(registry, older)
    assert Serve(registry).champion("acme", "ads").version.id == oldest


def test_people_are_told_when_the_champion_does_not_serve(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = Serve(registry)
    assert serve.notice("acme", "ads") == ""
    older, newest = published(), published(largest=2)
    promote(registry, older, newest)
    counting = Counting(registry, monkeypatch)
    counting.go.set()
    assert serve.notice("acme", "ads") == ""
    assert counting.calls == []  # verified only: no page waits for a model to be opened
    path = registry.root / "robust-z" / newest / "arrays.safetensors"
    good = path.read_bytes()
    damage(registry, newest)
    told = Serve(registry).notice("acme", "ads")
    assert told.startswith(f"Champion {newest} was refused, {older} serves")
    damage(registry, older)
    fresh = Serve(registry)
    assert fresh.notice("acme", "ads").startswith("No model of ads can be trusted")
    path.write_bytes(good)
    assert fresh.notice("acme", "ads") == ""
    assert fresh.notice("rival", "ads") == ""


def test_a_champion_that_is_whole_but_scores_otherwise_is_told_too(
    registry: Registry, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newest = published(), published(largest=2)
    promote(registry, older, newest)
    real = RobustZ._score
    monkeypatch.setattr(
        RobustZ,
        "_score",
        lambda self, scorer, panel: real(self, scorer, panel) + (self.params.largest == 2),
    )
    serve = Serve(registry)
    served = serve.champion("acme", "ads")
    assert served.version.id == older
    assert serve.notice("acme", "ads") == served.notice
    assert "probe rows" in served.notice


def test_a_version_that_never_served_does_not_stand_in(
    registry: Registry, published: Publish
) -> None:
    champion = published()
    promote(registry, champion)
    published(largest=2)
    damage(registry, champion)
    with pytest.raises(ChecksumMismatchError):
        Serve(registry).champion("acme", "ads")


def test_a_failed_load_is_tried_again(registry: Registry, published: Publish) -> None:
    version = published()
    promote(registry, version)
    path = registry.root / "robust-z" / version / "arrays.safetensors"
    good = path.read_bytes()
    damage(registry, version)
    serve = Serve(registry)
    with pytest.raises(ChecksumMismatchError):
        serve.champion("acme", "ads")
    path.write_bytes(good)
    served = serve.champion("acme", "ads")
    assert (served.version.id, served.notice) == (version, "")


def test_tenants_do_not_share_champions(registry: Registry, published: Publish) -> None:
    promote(registry, published())
    with pytest.raises(NotFoundError):
        Serve(registry).champion("rival", "ads")
