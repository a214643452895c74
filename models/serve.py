"""Loaded models, shared by every thread: opened once per digest, never changed, few kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from core.contracts import Algorithm
from core.errors import NotFoundError, PersistenceError
from models.ports import CHAMPION, VersionRow
from models.registry import Registry


@dataclass(frozen=True)
class Served:
    """The model in use; `notice` says why it is not the champion, "" when it is."""

    version: VersionRow
    algorithm: Algorithm
    notice: str = ""


class Serve:
    """A bounded cache of loaded models in front of a registry; safe from any thread."""

    def __init__(self, registry: Registry, capacity: int = 8) -> None:
        self.registry = registry
        self.capacity = capacity
        self._lock = threading.Lock()
        self._models: OrderedDict[tuple[str, str], Future[Algorithm]] = OrderedDict()

    def load(self, version: VersionRow) -> Algorithm:
        """The fitted algorithm of a version; concurrent callers wait for one load of it.

        A failed load is not kept, so a repaired version serves again.
        """
        key = (version.tenant, version.digest)
        with self._lock:
            mine = key not in self._models
            future = self._models.setdefault(key, Future())
            self._models.move_to_end(key)
            while len(self._models) > self.capacity:
                self._models.popitem(last=False)
        if mine:
            try:
                future.set_result(self.registry.load(version.tenant, version.id))
            except BaseException as error:  # noqa: BLE001 - carried to all who wait for this load
                with self._lock:
                    self._models.pop(key, None)
                future.set_exception(error)
        return future.result()

    def champion(self, tenant: str, domain: str) -> Served:
        """The champion of a tenant's domain; when it cannot be trusted, the last good one before it.

        Only versions that were champion before, and were not rolled back, stand in. Raises NotFoundError when none was ever promoted,
        and the champion's own PersistenceError when no stand-in loads either.
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
