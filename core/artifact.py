"""State ⇄ named bytes, in data-only formats: opening a file can never run code.

`pack` turns a state into file name → bytes, `unpack` back. Only `models/registry.py` touches files.

arrays.safetensors : every numeric array
text.json          : every text, sorted by role
<role>.<format>    : each `Blob`, e.g. `trees.ubj`
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Blob, State
from core.errors import PersistenceError

ARRAYS = "arrays.safetensors"
TEXT = "text.json"
BLOB_FORMATS = ("ubj",)
"""What some library alone reads, and reads as data."""
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("bool", "float16", "float32", "float64", *INTEGERS)
ROLE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def pack(state: State) -> dict[str, bytes]:
    """File name → bytes of a state; the same state gives the same bytes.

    Roles are words of letters, digits, `_` and `-`, joined by dots. Raises PersistenceError for a
    role or a value that no listed format can hold.
    """
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    text: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for role in sorted(state):
        value = state[role]
        if not ROLE.fullmatch(role):
            raise PersistenceError.of("pack", "a role", "words joined by dots", role)
        if isinstance(value, Blob):
            files[_blob_file(role, value)] = value.data
        elif isinstance(value, str):
            text[role] = value
        else:
            arrays[role] = _numeric(role, value)
    if arrays:
        files[ARRAYS] = save(arrays)
    if text:
        files[TEXT] = json.dumps(text, sort_keys=True, ensure_ascii=False, indent=1).encode()
    return files


def unpack(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The state that was packed, arrays read-only; PersistenceError for anything malformed."""
    state: dict[str, Any] = {}
    for file in sorted(files):
        for role, value in _reader(file)(file, files[file]).items():
            if role in state or not ROLE.fullmatch(role):
                raise PersistenceError.of(
                    "unpack", f"a role in {file}", "words joined by dots, held once", role
                )
            state[role] = value
    return state


def _blob_file(role: str, blob: Blob) -> str:
    if blob.format not in BLOB_FORMATS:
        rule = f"one of {', '.join(BLOB_FORMATS)}"
        raise PersistenceError.of("pack", f"the format of {role}", rule, blob.format)
    return f"{role}.{blob.format}"


def _numeric(role: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype.name not in DTYPES:
        got = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
        rule = "a numeric array, text or a Blob"
        raise PersistenceError.of("pack", f"the value of {role}", rule, got)
    # safetensors writes the buffer as it lies, so order and byte order are settled here
    return np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")


def _read_arrays(file: str, data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise PersistenceError.of("unpack", file, "whole safetensors", str(error)) from error
    for role, value in arrays.items():
        if value.dtype.name not in DTYPES:
            rule = f"one of {', '.join(DTYPES)}"
            raise PersistenceError.of("unpack", f"the type of {role}", rule, value.dtype.name)
        value.flags.writeable = False
    return arrays


def _read_text(file: str, data: bytes) -> dict[str, str]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    def no_constant(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        text = json.loads(data, object_pairs_hook=once, parse_constant=no_constant)
    except ValueError as error:
        raise PersistenceError.of("unpack", file, "plain JSON", str(error)) from error
    if not isinstance(text, dict) or not all(isinstance(value, str) for value in text.values()):
        raise PersistenceError.of("unpack", file, "one JSON object of texts", text)
    return text


def _read_blob(file: str, data: bytes) -> dict[str, Blob]:
    role, _, format_ = file.rpartition(".")
    return {role: Blob(format_, data)}


def _reader(file: str) -> Callable[[str, bytes], Mapping[str, Any]]:
    fixed: dict[str, Callable[[str, bytes], Mapping[str, Any]]]
    fixed = {ARRAYS: _read_arrays, TEXT: _read_text}
    if file in fixed:
        return fixed[file]
    if file.rpartition(".")[2] not in BLOB_FORMATS:
        rule = f"{ARRAYS}, {TEXT} or <role>.{{{','.join(BLOB_FORMATS)}}}"
        raise PersistenceError.of("unpack", "a file", rule, file)
    return _read_blob
