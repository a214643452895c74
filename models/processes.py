"""Processes that outlive the one that started them: told apart by more than a number, ended as a whole group."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GRACE = 3.0
"""Seconds between asking a group to end and ending it."""
_LOOK = 0.05


@functools.cache
def boot() -> str:
    """What tells this run of the machine from its others: process numbers mean nothing across it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        import psutil

        return f"{psutil.boot_time():.0f}"


def started(pid: int) -> float | None:
    """When a process began, on a clock that no change of the date moves; None when it is gone.

    Together with its number this names a process for ever; a number alone is given out again.
    """
    try:
        # the second field is the program's name, which may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *numbers = fields.rpartition(")")[2].split()
        return None if state in "ZX" else float(numbers[18])
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _started_elsewhere(pid)


def _started_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True)
class ProcessGroup:
    """A leader and whatever it started; `start` is the leader's, as `started` told it."""

    pid: int
    start: float

    def alive(self) -> bool:
        """Whether the leader still runs."""
        return started(self.pid) == self.start

    def memory(self) -> int:
        """Bytes that its processes hold together."""
        import psutil

        total = 0
        for pid in self._members():
            with suppress(psutil.NoSuchProcess):
                total += psutil.Process(pid).memory_info().rss
        return total

    def stop(self, grace: float = GRACE) -> None:
        """Ask all to end, and end whoever is left after `grace` seconds; returns when none is."""
        deadline = time.monotonic() + grace
        self._tell(signal.SIGTERM)
        while self._left() and time.monotonic() < deadline:
            threading.Event().wait(_LOOK)
        while self._left():
            # a process that is frozen takes this signal too
            self._tell(signal.SIGKILL)
            threading.Event().wait(_LOOK)

    def _left(self) -> bool:
        return next(self._members(), None) is not None

    def _tell(self, number: int) -> None:
        if self._left():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _members(self) -> Iterator[int]:
        """Living processes of the group; none when the leader's number is another process's by now."""
        import psutil

        if started(self.pid) not in (None, self.start):
            return
        for pid in psutil.pids():
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == self.pid and started(pid) is not None:
                    yield pid
