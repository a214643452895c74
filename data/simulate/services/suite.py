"""The same world as labelled cases: windows around each alarm, fault-free minutes to compare with, the truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.simulate.draws import Floats
from data.simulate.services.faults import Incident
from data.simulate.services.load import Reading
from data.simulate.services.people import incident_id
from data.simulate.services.topology import Topology

BEFORE, AFTER = 40, 6
"""Minutes of a case before its alarm and from it on."""
REFERENCE = 480
"""Fault-free minutes, spread over all there are."""
NORMAL = "normal"


@dataclass
class Cases:
    """Collects the cells of the cases while the readings pass by.

    times : (n_minute,) epoch s; alarms : the minute of each; calm : (n_minute,) where nothing is wrong
    """

    times: NDArray[np.int64]
    alarms: Sequence[int]
    calm: NDArray[np.bool_]
    observations: list[pa.Table] = field(default_factory=list)
    reference: list[pa.Table] = field(default_factory=list)

    def windows(self) -> list[slice]:
        """The minutes of each case."""
        return [slice(max(at - BEFORE, 0), at + AFTER) for at in self.alarms]

    def quiet(self) -> NDArray[np.int64]:
        """The minutes of the reference."""
        calm = np.flatnonzero(self.calm)
        return calm[np.linspace(0, len(calm) - 1, min(REFERENCE, len(calm))).astype(np.int64)]

    def take(self, reading: Reading) -> None:
        """Keep what the cases need of one metric."""
        for number, window in enumerate(self.windows()):
            minutes = np.arange(len(self.times))[window]
            self.observations.append(self._rows(incident_id(number), reading, minutes))
        self.reference.append(self._rows(NORMAL, reading, self.quiet()))

    def _rows(self, case: str, reading: Reading, minutes: NDArray[np.int64]) -> pa.Table:
        values = reading.values[:, minutes]
        many = values.size
        return pa.table(
            {
                "case_id": constant(case, many),
                "time": np.tile(self.times[minutes], len(reading.nodes)),
                "node": repeated(reading.nodes, len(minutes)),
                "metric": constant(reading.metric, many),
                "value": values.reshape(-1),
            }
        )

    def edges(self, topology: Topology, series: dict[str, Floats]) -> pa.Table:
        """edge_observations.parquet: the minutes of all cases and of the reference."""
        wanted = np.unique(
            np.concatenate([self.quiet(), *(np.r_[window] for window in self.windows())])
        )
        wanted = wanted[wanted < len(self.times)]
        names = [f"service:{name}" for name in topology.services]
        caller = [names[row] for row in topology.calls.caller]
        callee = [names[row] for row in topology.calls.callee]
        return _joined(
            pa.table(
                {
                    "time": np.tile(self.times[wanted], len(caller)),
                    "caller": repeated(caller, len(wanted)),
                    "callee": repeated(callee, len(wanted)),
                    "metric": constant(metric, len(caller) * len(wanted)),
                    "value": values[:, wanted].reshape(-1),
                }
            )
            for metric, values in series.items()
        )

    def write(self, folder: Path, edges: pa.Table) -> None:
        """The three Parquet files of the layout."""
        for name, table in (
            ("observations", _joined(self.observations)),
            ("reference", _joined(self.reference)),
            ("edge_observations", edges),
        ):
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


def about(name: str) -> dict[str, object]:
    """suite.json."""
    return {
        "name": name,
        "kind": "metrics",
        "step_seconds": 60,
        "licence": "CC0-1.0",
        "source": "headwater simulate services",
        "note": "alarm_at is when the alarm's service was affected for two minutes; edges run from cause to effect; "
        "edge_observations: 95th percentile seen at the caller (source_side) and at the callee (target_side)",
    }


def cases(
    topology: Topology,
    incidents: Sequence[Incident],
    alarms: Sequence[int],
    times: NDArray[np.int64],
    name: str,
) -> list[dict[str, object]]:
    """Rows of cases.csv; `truth_onset`, `root_causes` and `cause_class` are truth."""
    return [
        {
            "case_id": incident_id(number),
            "alarm_node": json.dumps([f"service:{topology.services[incident.alarm]}"]),
            "alarm_metric": incident.metric,
            "alarm_at": int(times[at]),
            "root_causes": json.dumps([incident.root.id]),
            "cause_class": incident.kind.name,
            "group": incident.root.id,
            "subsystem": name,
            "truth_onset": int(times[incident.onset]),
        }
        for number, (incident, at) in enumerate(zip(incidents, alarms, strict=True))
    ]


def _joined(tables: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries()


def constant(word: str, many: int) -> pa.Array:
    """A column of one word."""
    return pa.DictionaryArray.from_arrays(np.zeros(many, dtype=np.int32), [word])


def repeated(words: Iterable[str], each: int) -> pa.Array:
    """A column of words, each `each` times in a row."""
    words = list(words)
    return pa.DictionaryArray.from_arrays(
        np.repeat(np.arange(len(words), dtype=np.int32), each), words
    )
