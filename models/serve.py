"""Loaded models, shared by every thread: opened once per digest, never changed, few kept."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from core.contracts import Algorithm
from core.errors import NotFoundError, PersistenceError
from models.ports import CHAMPION, VersionRow
from models.registry import Registry

Key = tuple[str, str]
"""Tenant and digest of a version."""


@dataclass(frozen=True)
class Served:
    """The model in use; `notice` says why it is not the champion, "" when it is."""

    version: VersionRow
    algorithm: Algorithm
    notice: str = ""


class Serve:
    """A bounded cache of loaded models in front of a registry; safe from any thread.

    Every call asks the records which version is meant, so a promotion or rollback counts from the next call on.
    """

    def __init__(self, registry: Registry, capacity: int = 8) -> None:
        self.registry = registry
        self.capacity = capacity
        self._lock = threading.Lock()
        self._models: OrderedDict[Key, Future[Algorithm]] = OrderedDict()
        self._trusted: dict[Key, bool] = {}

    def load(self, version: VersionRow) -> Algorithm:
        """The fitted algorithm of a version; concurrent callers wait for one load of it.

        A failed load is not kept, so a repaired version serves again. The least used model beyond the capacity
        is released: its memory is free once whoever still scores with it is done.
        """
        key = (version.tenant, version.digest)
        with self._lock:
            mine = key not in self._models
            future = self._models.setdefault(key, Future())
            self._models.move_to_end(key)
            full = len(self._models) > self.capacity
            while len(self._models) > self.capacity:
                self._models.popitem(last=False)
        if full:
            _free()
        if mine:
            try:
                future.set_result(self.registry.load(version.tenant, version.id))
                self._trusted[key] = True
            except BaseException as error:  # noqa: BLE001 - carried to all who wait for this load
                with self._lock:
                    self._models.pop(key, None)
                if isinstance(error, PersistenceError):
                    self._trusted[key] = False
                future.set_exception(error)
        return future.result()

    def held(self, version: VersionRow) -> Algorithm | None:
        """The fitted algorithm of a version where it is in memory already, without waiting."""
        key = (version.tenant, version.digest)
        with self._lock:
            future = self._models.get(key)
            if future is None or not future.done() or future.exception() is not None:
                return None
            self._models.move_to_end(key)
            return future.result()

    def champion(self, tenant: str, domain: str) -> Served:
        """The champion of a tenant's domain; when it cannot be trusted, the last good one before it.

        Only versions that were champion before, and were not rolled back, stand in. Raises NotFoundError when none
        was ever promoted, and the champion's own PersistenceError when no stand-in loads either.
        """
        store = self.registry.store
        found = store.served(tenant, domain, CHAMPION)
        if found is None:
            raise NotFoundError.of(
                "serve", "a champion", f"promoted for {domain}", None, "Run: headwater detect"
            )
        _, champion = found
        try:
            return Served(champion, self.load(champion))
        except PersistenceError as broken:
            for number in store.predecessors(tenant, domain, CHAMPION):
                version = store.get(tenant, number)
                try:
                    algorithm = self.load(version)
                except PersistenceError:
                    continue
                notice = (
                    f"Champion {champion.id} was refused, {version.id} serves: {broken.message}"
                )
                return Served(version, algorithm, notice)
            raise

    def notice(self, tenant: str, domain: str) -> str:
        """What people must know of the model in use: not the champion, or none at all; "" when all is well.

        A champion that nobody has loaded yet is only verified, byte for byte, so that no page waits for it.
        """
        found = self.registry.store.served(tenant, domain, CHAMPION)
        if found is None:
            return ""
        champion = found[1]
        key = (tenant, champion.digest)
        if key not in self._trusted:
            try:
                self.registry.manifest(tenant, champion.id)
                self._trusted[key] = True
            except PersistenceError:
                self._trusted[key] = False
        if self._trusted[key]:
            return ""
        try:
            return self.champion(tenant, domain).notice
        except PersistenceError as broken:
            return f"No model of {domain} can be trusted, so nothing is scored: {broken.message}"


def _free() -> None:
    """Give a GPU the memory of released models back, which torch would keep for the next ones."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
