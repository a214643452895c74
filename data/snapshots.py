"""Panels as immutable Parquet files, named by the SHA-256 of their bytes: what a job learns from.

One row per entity and period, entity by entity. A job records the digest, so what it saw can be read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.contracts import Bools, Panel, Periods
from core.errors import ChecksumMismatchError, PersistenceError

ENTITY, PERIOD, PADDED, LABEL = "_entity", "_period", "_padded", "_label"
HEAD = b"headwater"


@dataclass(frozen=True)
class Snapshot:
    """A panel on disk: the SHA-256 of the file's bytes, where it lies, and its entity-periods."""

    digest: str
    path: Path
    rows: int


def write(folder: Path, panel: Panel, labels: Bools | None = None) -> Snapshot:
    """Keep a panel, and what is known of its cells, under `folder/<digest>/`; the same panel is kept once."""
    import pyarrow as pa
    from pyarrow import parquet

    n_entity, n_time, _ = panel.values.shape
    entities = np.repeat(np.arange(n_entity, dtype=np.int32), n_time)
    columns: dict[str, NDArray[np.generic]] = {
        ENTITY: pa.DictionaryArray.from_arrays(pa.array(entities), pa.array(panel.entities)),
        PERIOD: np.tile(panel.periods.labels.astype("datetime64[s]"), n_entity),
    }
    columns |= {name: panel.metric(name).ravel() for name in panel.metrics}
    for name, words in panel.words.items():
        columns[name] = (words if words.ndim == 2 else np.repeat(words[:, None], n_time, 1)).ravel()
    for name, cells in ((PADDED, panel.padded), (LABEL, labels)):
        if cells is not None:
            columns[name] = cells.ravel()
    head = {
        "entities": list(panel.entities),
        "metrics": list(panel.metrics),
        "zones": list(panel.zones),
        "step_seconds": int(panel.periods.step / np.timedelta64(1, "s")),
        "periods": n_time,
    }
    if panel.words:
        head["words"] = {name: words.ndim for name, words in panel.words.items()}
    table = pa.table(columns).replace_schema_metadata({HEAD: json.dumps(head).encode()})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    path = folder / digest / "panel.parquet"
    if path.exists():
        os.utime(path.parent)  # who clears away what is old must see that it is in use again
    else:
        _write(path, data)
    return Snapshot(digest, path, n_entity * n_time)


def read(path: Path, digest: str) -> tuple[Panel, Bools | None]:
    """The panel and its labels, once the file's digest is verified.

    Raises ChecksumMismatchError for other bytes than those that were written and PersistenceError for a file
    that is gone.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PersistenceError.of(
            "snapshots", "the snapshot", "on disk", digest, "Start the training anew."
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise ChecksumMismatchError.of("snapshots", "the snapshot's SHA-256", digest, found)
    table = parquet.read_table(pa.BufferReader(data))
    head = json.loads(table.schema.metadata[HEAD])
    shape = (len(head["entities"]), head["periods"])

    def cells(name: str) -> NDArray[np.generic]:
        found: NDArray[np.generic] = table.column(name).to_numpy()
        return found.reshape(shape)

    words = {name: cells(name).astype(str) for name in head.get("words", ())}
    metrics = tuple(head["metrics"])
    panel = Panel(
        np.stack([cells(name) for name in metrics], axis=2).astype(np.float64, copy=False),
        tuple(head["entities"]),
        metrics,
        Periods(
            cells(PERIOD)[0].astype("datetime64[s]"),
            np.timedelta64(head["step_seconds"], "s"),
        ),
        cells(PADDED).astype(bool) if PADDED in table.column_names else None,
        tuple(head["zones"]),
        {
            name: column if head["words"][name] == 2 else column[:, 0]
            for name, column in words.items()
        },
    )
    labels = cells(LABEL).astype(bool) if LABEL in table.column_names else None
    return panel, labels


def _write(path: Path, data: bytes) -> None:
    """The whole file or none; of two writers the first one's stays, it holds the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
