"""A form from what an algorithm declares of its parameters: one widget a field, whatever the fields are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.contracts import Params

COLUMNS = 2


def parameters(kind: type[Params], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Draw every field of `kind` filled with `values`, its own default elsewhere; returns what is set.

    key : a change of it starts the form anew, as when another preset is chosen
    """
    specs = ordered(kind)
    chosen = {}
    for start in range(0, len(specs), COLUMNS):
        places = st.columns(COLUMNS, vertical_alignment="bottom")
        for place, spec in zip(places, specs[start : start + COLUMNS], strict=False):
            with place:
                chosen[spec.name] = _field(spec, values.get(spec.name, spec.default), key)
    return chosen


def ordered(kind: type[Params]) -> list[dataclasses.Field[Any]]:
    """The fields as declared; those that every algorithm has come last."""
    shared = {spec.name for spec in dataclasses.fields(Params)}
    return sorted(dataclasses.fields(kind), key=lambda spec: spec.name in shared)


def changed(kind: type[Params], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that are not the defaults of `kind`."""
    defaults = {spec.name: spec.default for spec in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value != defaults.get(name)}


def label(spec: dataclasses.Field[Any]) -> str:
    """`Window (periods)`."""
    unit = spec.metadata["unit"]
    return spec.name.replace("_", " ").capitalize() + (f" ({unit})" if unit else "")


def _field(spec: dataclasses.Field[Any], value: Any, key: str) -> Any:
    about = spec.metadata
    shared: dict[str, Any] = {"help": about["help"], "key": f"{key}:{spec.name}"}
    if about["choices"]:
        choices = about["choices"]
        return st.selectbox(label(spec), choices, index=choices.index(value), **shared)
    if isinstance(spec.default, bool):
        return st.toggle(label(spec), value, **shared)
    if isinstance(spec.default, int | float):
        return _number(spec, value, shared)
    return st.text_input(label(spec), value, max_chars=2000, **shared)


def _number(spec: dataclasses.Field[Any], value: float, shared: dict[str, Any]) -> float:
    about = spec.metadata
    whole = isinstance(spec.default, int)
    kind: type[int] | type[float] = int if whole else float
    low, high = (None if about[end] is None else kind(about[end]) for end in ("low", "high"))
    return st.number_input(
        label(spec),
        min_value=low,
        max_value=high,
        value=kind(value),
        step=_step(kind(value), whole=whole),
        format="%d" if whole else "%g",
        **shared,
    )


def _step(value: float, *, whole: bool) -> float:
    """One in the second digit: 8,000 by 100, 0.005 by 0.0001; whole numbers by one at least."""
    exponent = int(f"{abs(value) or 1:.0e}".partition("e")[2]) - 1
    return 10 ** max(exponent, 0) if whole else 10.0**exponent
