"""Snapshots: what was written is read bit for bit, kept once, and never taken for something else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from core.contracts import Panel
from core.errors import ChecksumMismatchError, PersistenceError
from core.samples import sample
from data import snapshots


def panel() -> Panel:
    whole = sample(n_entity=5, n_time=12)
    values = whole.values.copy()
    values[2, 3, 1] = np.nan
    values[4, 0, 0] = -0.0
    padded = np.zeros(values.shape[:2], bool)
    padded[1, :4] = True
    zones = tuple(f"Etc/GMT+{number}" for number in range(5))
    words = {
        "country": np.array(["de", "", "fr", "de", "漢"]),
        "match": np.tile(np.array(["exact", "broad", ""]), 20).reshape(5, 12),
    }
    return dataclasses.replace(whole, values=values, padded=padded, zones=zones, words=words)


def test_a_panel_and_its_labels_come_back_bit_for_bit(tmp_path: Path) -> None:
    whole = panel()
    labels = np.zeros(whole.values.shape[:2], bool)
    labels[3, 5:7] = True
    kept = snapshots.write(tmp_path, whole, labels)
    read, known = snapshots.read(kept.path, kept.digest)
    assert kept.rows == 60
    assert read.values.tobytes() == whole.values.tobytes()
    assert (read.entities, read.metrics, read.zones) == (whole.entities, whole.metrics, whole.zones)
    np.testing.assert_array_equal(read.periods.labels, whole.periods.labels)
    assert read.periods.step == whole.periods.step
    assert read.padded is not None and known is not None
    np.testing.assert_array_equal(read.padded, whole.padded)
    np.testing.assert_array_equal(known, labels)
    assert [*read.words] == ["country", "match"]
    for name, words in whole.words.items():
        np.testing.assert_array_equal(read.words[name], words)


def test_what_nobody_knows_stays_unknown(tmp_path: Path) -> None:
    kept = snapshots.write(tmp_path, sample(n_entity=3, n_time=4))
    read, labels = snapshots.read(kept.path, kept.digest)
    assert read.padded is None
    assert labels is None


def test_the_same_panel_is_kept_once_and_another_one_beside_it(tmp_path: Path) -> None:
    first = snapshots.write(tmp_path, panel())
    assert snapshots.write(tmp_path, panel()) == first
    other = panel().with_values(panel().values + 1e-12)
    assert snapshots.write(tmp_path, other).digest != first.digest
    assert len(list(tmp_path.glob("*/panel.parquet"))) == 2
    assert not list(tmp_path.glob("*/.*"))


def test_a_changed_or_absent_snapshot_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    kept = snapshots.write(tmp_path, panel())
    data = bytearray(kept.path.read_bytes())
    data[len(data) // 2] ^= 1
    kept.path.write_bytes(data)
    with pytest.raises(ChecksumMismatchError, match=kept.digest):
        snapshots.read(kept.path, kept.digest)
    kept.path.unlink()
    with pytest.raises(PersistenceError, match="on disk"):
        snapshots.read(kept.path, kept.digest)
