"""Loops as machine code, compiled when they first run: what does not need them does not wait for a compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


@functools.cache
def kernel(
    loop: Function, calls: tuple[Function, ...] = (), liberties: tuple[str, ...] = ()
) -> Function:
    """A loop over arrays, compiled and kept on disk; it runs without the interpreter's lock.

    calls     : functions that the loop calls
    liberties : what the compiler may do to the order and rounding of sums, in the words of numba's `fastmath`
    """
    import numba

    for function in calls:
        numba.extending.register_jitable(function)
    compiled: Function = numba.njit(cache=True, nogil=True, fastmath=set(liberties))(loop)
    return compiled
