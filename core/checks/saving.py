"""What is learned becomes data-only files, and answers the same wherever they are opened."""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from core.artifact import pack, unpack
from core.checks.subject import (
    Check,
    Subject,
    answer,
    fitted,
    identical,
    make,
    question,
    refusal,
    require,
)
from core.contracts import Blob
from core.errors import PersistenceError

THREADS = (1, 2, 8)
"""Threads with which a saved algorithm must answer alike, whatever the machine."""


def check_packs(subject: Subject) -> None:
    """The state becomes files of data-only formats and comes back equal; no pickle hides in it."""
    state = fitted(subject).state
    files = pack(state)
    for role, value in state.items():
        data = value.data if isinstance(value, Blob) else np.asarray(value).tobytes()
        require(
            not re.match(rb"\x80[\x02-\x05].*\.\Z", data, re.DOTALL), subject, f"{role} is a pickle"
        )
    require(pack(unpack(files)) == files, subject, "unpacking must give back what was packed")
    require(set(unpack(files)) == set(state), subject, "every role must come back")


def check_damage_refused(subject: Subject) -> None:
    """A file cut short, or of a format that is not listed, is refused."""
    files = pack(fitted(subject).state)
    for file, data in files.items():
        refusal(subject, PersistenceError, functools.partial(_reopen, subject, {file: data[:-1]}))
    refusal(subject, PersistenceError, lambda: unpack({**files, "model.pkl": b"\x80\x04."}))


def check_fresh_process(subject: Subject) -> None:
    """Opened in another process, it answers the same with 1, 2 and 8 threads: bit for bit, or as its tags say."""
    require_kept(fitted(subject), question(subject))


def require_kept(algorithm: Any, asked: Any) -> None:
    """Its answer is the same once it was saved and opened in another process."""
    subject: Subject = type(algorithm)
    target = f"{subject.__module__}:{subject.__qualname__}"
    params, files = dataclasses.asdict(algorithm.params), pack(algorithm.state)
    asking = _other_process().submit(_answers_fresh, target, params, files, asked)
    fresh = asking.result(timeout=240)
    # whether an answer spoils its question is another check's to find
    here = answer(algorithm, copy.deepcopy(asked))
    for threads, there in zip(THREADS, fresh, strict=True):
        held = identical(here, there, subject.tags.tolerance)
        require(held, subject, f"saving must change nothing, with {threads} threads it does")


def _reopen(subject: Subject, files: dict[str, bytes]) -> Any:
    return subject(make(subject).params, state=unpack(files)).scorer


@functools.cache
def _other_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_prepare)


def _prepare() -> None:
    """No accelerator, and as many compiled threads as will be asked for: both are read when they load."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "NUMBA_NUM_THREADS": str(max(THREADS))}


def _answers_fresh(
    target: str, params: dict[str, Any], files: dict[str, bytes], asked: Any
) -> list[Any]:
    module, _, name = target.partition(":")
    subject = getattr(importlib.import_module(module), name)

    def answered() -> Any:
        algorithm = subject(subject.Params(**params), state=unpack(files))
        return answer(algorithm, copy.deepcopy(asked))

    # the first answer loads the libraries whose threads are set then
    answered()
    answers = []
    for threads in THREADS:
        _set_threads(threads)
        answers.append(answered())
    return answers


def _set_threads(threads: int) -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    for library in ("torch", "numba"):
        if library in sys.modules:
            sys.modules[library].set_num_threads(threads)


SAVING: tuple[Check, ...] = (check_packs, check_damage_refused, check_fresh_process)
