"""Algorithms inside algorithms: how a part is set by text, and where its state lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.contracts import State
from core.errors import InvalidInputError


def settings(who: str, thing: str, text: str, kind: Callable[[str], Any] = str) -> dict[str, Any]:
    """`a=1, b=2` → {"a": kind("1"), "b": kind("2")}."""
    found: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (word.strip() for word in item.partition("="))
        try:
            found[name] = kind(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise InvalidInputError.of(who, thing, "name=value, name=value, …", item)
    return found


def above(state: State, prefix: str) -> dict[str, Any]:
    """A part's state as roles of the whole."""
    return {f"{prefix}.{role}": value for role, value in state.items()}


def under(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The part's state back from the roles of the whole."""
    return {
        role.removeprefix(f"{prefix}."): value
        for role, value in state.items()
        if role.startswith(f"{prefix}.")
    }
