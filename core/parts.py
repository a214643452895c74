"""Algorithms inside algorithms: how a part is set by text, where its state lies, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core.contracts import OnStep, State, report
from core.errors import InvalidInputError


def from_catalog(
    who: str, kind: str, name: str, params: Mapping[str, Any], state: State | None = None
) -> Any:
    """A detector or a forecaster of the catalogue: unfitted, or as the state left it."""
    from core import catalog

    if catalog.get(name).kind != kind:
        raise InvalidInputError.of(who, "a part", f"a {kind}", name)
    made = catalog.make(name, **params)
    return made if state is None else type(made)(made.params, state=state)


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


def progress(who: str, on_step: OnStep | None, part: str, index: int, total: int) -> OnStep | None:
    """What a part hears with: its steps become steps of the whole, of which it is one in `total`."""
    if on_step is None:
        return None
    report(who, on_step, part, index / total, {})
    return lambda stage, share, numbers: on_step(
        f"{part}: {stage}", (index + share) / total, numbers
    )
