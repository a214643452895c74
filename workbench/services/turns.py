"""One at a time: imports and runs of a tenant wait for each other, so that no run learns from half an import."""

from __future__ import annotations

import threading
from collections import defaultdict

_turns: dict[str, threading.RLock] = defaultdict(threading.RLock)


def turn(tenant: str) -> threading.RLock:
    """The tenant's turn, to be held while its measurements are written or judged."""
    return _turns[tenant]
