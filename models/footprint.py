"""How much memory a loaded model holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def footprint(algorithm: Any) -> int:
    """Bytes of all arrays, tensors, text and bytes that an object holds, each counted once however often it is held.

    What a library keeps on its own side (the trees of a boosting library) is not seen.
    """
    known: set[int] = set()
    waiting, total = [algorithm], 0
    while waiting:
        item = waiting.pop()
        if id(item) in known or isinstance(item, type):
            continue
        known.add(id(item))
        if isinstance(item, np.ndarray):
            base = item
            while isinstance(base.base, np.ndarray):
                base = base.base
            total += base.nbytes if base is item or id(base) not in known else 0
            known.add(id(base))
        elif hasattr(item, "element_size") and hasattr(item, "nelement"):  # a torch tensor
            total += item.element_size() * item.nelement()
        elif isinstance(item, str | bytes):
            total += sys.getsizeof(item)
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            waiting.extend(item)
        else:
            waiting.extend(_held(item))
    return total


def _held(item: Any) -> list[Any]:
    """What an object's own attributes hold, slots too."""
    held = list(getattr(item, "__dict__", {}).values())
    for kind in type(item).__mro__:
        slots = vars(kind).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        held += [getattr(item, name) for name in names if hasattr(item, name)]
    return held
