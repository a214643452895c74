"""One load for many threads, few models kept, and the last good version when the champion is broken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.contracts import Algorithm
from core.errors import ChecksumMismatchError, NotFoundError
from models.registry import Registry
from models.serve import Serve

Publish = Callable[..., str]


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
