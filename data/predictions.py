"""What a fitted model said of the rows that were held out, as a Parquet file: one row for each that was observed."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import PersistenceError
from core.evaluate.held_out import Predictions

COLUMNS = {
    "entity": pa.dictionary(pa.int32(), pa.string()),
    "period": pa.timestamp("s"),
    "score": pa.float64(),
    "p_value": pa.float64(),
    "label": pa.bool_(),
}
"""p_value is null for a model without p-values, label where nobody labelled anything."""


def pack(predictions: Predictions) -> bytes:
    """The observed rows as the bytes of a Parquet file, in the order of entities, then periods."""
    row, time = np.nonzero(predictions.seen)
    entities = pa.DictionaryArray.from_arrays(
        pa.array(row.astype(np.int32)), pa.array(predictions.entities, pa.string())
    )

    def column(name: str) -> pa.Array:
        values = getattr(predictions, name)
        kind = COLUMNS[name]
        return pa.nulls(len(row), kind) if values is None else pa.array(values[row, time], kind)

    table = pa.table(
        {
            "entity": entities,
            "period": pa.array(predictions.periods.astype("datetime64[s]")[time]),
            **{name: column(name) for name in ("score", "p_value", "label")},
        },
        schema=pa.schema(COLUMNS),
    )
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def unpack(data: bytes) -> Predictions:
    """What `pack` wrote; PersistenceError for anything else. Entities and periods without a row are gone."""
    try:
        table = pq.read_table(io.BytesIO(data), schema=pa.schema(COLUMNS)).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise PersistenceError.of(
            "predictions", "the file", f"Parquet with {', '.join(COLUMNS)}", str(error)
        ) from error
    names, row = np.unique(table["entity"].cast(pa.string()).to_numpy(), return_inverse=True)
    periods, time = np.unique(table["period"].to_numpy(), return_inverse=True)

    def grid(name: str, empty: float) -> np.ndarray | None:
        column = table[name]
        if column.null_count == len(column):
            return None
        values = np.full((len(names), len(periods)), empty)
        values[row, time] = column.cast(pa.float64()).to_numpy()
        return values

    seen = np.zeros((len(names), len(periods)), bool)
    seen[row, time] = True
    score, label = grid("score", np.nan), grid("label", 0.0)
    return Predictions(
        entities=tuple(names.tolist()),
        periods=periods.astype("datetime64[s]"),
        score=np.full(seen.shape, np.nan) if score is None else score,
        p_value=grid("p_value", np.nan),
        seen=seen,
        label=None if label is None else label.astype(bool),
    )
