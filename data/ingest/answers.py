"""Answers to questions about series, as a batch: curves by entity and metric, and what their labels tell of what runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.domains import conventions
from data.ingest.batch import COMPONENTS, DEPENDENCIES, MEASURES, Samples
from data.ingest.promql import Labels, Plan, Question, entity, part_name, topology

Curve = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Seconds since 1970, ascending, and values."""
Answer = list[tuple[Labels, Curve]]
"""A curve for each set of the labels that a question asks by; only finite values."""


@dataclass(frozen=True)
class Span:
    """Steps at multiples of `step` from `first` to `last`, both included; seconds since 1970."""

    first: int
    last: int
    step: int

    @property
    def points(self) -> int:
        return (self.last - self.first) // self.step + 1


def gathered(
    batch: Samples,
    answers: Iterable[tuple[Question, Answer]],
    series: Sequence[Labels],
    plan: Plan,
    name: str,
) -> Samples:
    """The batch with what was answered, and what the label sets tell of what runs; `name` is whose no label tells."""
    curves: dict[tuple[str, str], list[Curve]] = {}
    told_by: dict[str, Question] = {}
    for question, answer in answers:
        for labels, (times, values) in answer:
            if len(times):
                who = entity(labels, question.of, plan, f"service:{name}")
                metric = part_name(question.metric, labels, question.parts)
                curves.setdefault((who, metric), []).append((times, values))
                told_by[metric] = question
    found = {key: _together(told, told_by[key[1]].together) for key, told in curves.items()}
    rows = sum(len(times) for times, _ in found.values())
    return replace(
        batch,
        size=batch.size or rows * 16,
        rows=rows,
        samples=_samples(found),
        measures=_measures(told_by),
        **_runs(series, plan),
    )


TOGETHER = {"sum": np.add, "mean": np.add, "max": np.maximum}


def _together(series: Sequence[Curve], how: str) -> Curve:
    """Several series of one entity as one, by time: their sum, mean or max."""
    if len(series) == 1:
        return series[0]
    times, place = np.unique(np.concatenate([t for t, _ in series]), return_inverse=True)
    values = np.concatenate([v for _, v in series])
    joined = np.full(len(times), -np.inf if how == "max" else 0.0)
    TOGETHER[how].at(joined, place, values)
    return times, joined / np.bincount(place) if how == "mean" else joined


def _samples(found: Mapping[tuple[str, str], Curve]) -> pa.Table:
    lengths = [len(times) for times, _ in found.values()]
    columns: dict[str, Any] = {}
    for place, name in enumerate(("entity", "metric")):
        words, codes = np.unique([key[place] for key in found] or [""], return_inverse=True)
        repeated = np.repeat(codes[: len(found)].astype(np.int32), lengths)
        columns[name] = pa.DictionaryArray.from_arrays(
            pa.array(repeated), pa.array(words.tolist(), pa.string())
        )
    nothing: list[NDArray[Any]] = [np.zeros(0)]
    times = np.concatenate([times for times, _ in found.values()] or nothing).astype(np.int64)
    values = np.concatenate([values for _, values in found.values()] or nothing)
    columns["moment"] = pa.array(times * 1_000_000, pa.timestamp("us"))
    columns["value"] = pa.array(values, pa.float64())
    columns["row"] = pa.array(np.arange(len(times)))
    return pa.table(columns)


def _measures(asked: Mapping[str, Question]) -> pa.Table:
    """What Prometheus' own words tell beyond the names."""
    told = []
    for metric, question in asked.items():
        bad = None if conventions.bad(metric) else conventions.bad(metric, question.help) or None
        unit = conventions.unit(metric, question.nature) or None
        words = (metric, None, unit, bad, question.nature)
        told.append(dict(zip(MEASURES.names, words, strict=True)))
    return pa.Table.from_pylist(told, MEASURES)


def _runs(series: Sequence[Labels], plan: Plan) -> dict[str, pa.Table]:
    """Components and dependencies of the label sets."""
    found = topology(series, plan)
    components = [
        {
            "id": id,
            "level": id.partition(":")[0],
            "name": id.partition(":")[2].rpartition("/")[2]
            if id.startswith(("pod:", "service:"))
            else id.partition(":")[2],
            "parent": parent or None,
        }
        for id, parent in sorted(found.parents.items())
    ]
    edges = [
        {"source": source, "target": target, "kind": kind}
        for source, target, kind in sorted(found.edges)
    ]
    return {
        "components": pa.Table.from_pylist(components, COMPONENTS),
        "dependencies": pa.Table.from_pylist(edges, DEPENDENCIES),
    }
