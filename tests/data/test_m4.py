from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInputError
from data.m4 import collections


def write(file: Path, **changed: np.ndarray) -> Path:
    arrays = {
        "ids": np.array(["W1", "W2"]),
        "values": np.arange(1.0, 11.0, dtype=np.float32),
        "offsets": np.array([0, 4, 10]),
        "test": np.ones((2, 3), dtype=np.float32),
        **changed,
    }
    file.parent.mkdir(exist_ok=True)
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file


def test_histories_end_together_and_keep_their_own_start(tmp_path: Path) -> None:
    write(tmp_path / "Weekly.npz")
    (held,) = collections(tmp_path)
    assert (held.name, held.period, held.panel.entities) == ("weekly", 1, ("W1", "W2"))
    assert held.panel.values.shape == (2, 6, 1)
    assert np.isnan(held.panel.values[0, :2, 0]).all()
    assert held.history(0).tolist() == [1, 2, 3, 4]
    assert held.panel.periods.step == np.timedelta64(7, "D")


def test_a_file_alone_and_a_folder_of_several(tmp_path: Path) -> None:
    hourly = write(tmp_path / "Hourly.npz")
    write(tmp_path / "Weekly.npz")
    write(tmp_path / "other.npz")
    assert [held.name for held in collections(hourly)] == ["hourly"]
    assert [held.name for held in collections(tmp_path)] == ["hourly", "weekly"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"test": None}, "ids, values, offsets and test"),
        ({"offsets": np.array([0, 4, 9])}, "ends of as many histories"),
        ({"offsets": np.array([0, 1, 10])}, "two values or more"),
        ({"test": np.ones((3, 3))}, r"of shape \(2, horizon\)"),
        ({"values": np.full(10, np.nan)}, "finite"),
    ],
)
def test_whatever_is_wrong_is_told_with_the_file(tmp_path: Path, changed, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        collections(write(tmp_path / "Weekly.npz", **changed))
    assert "Weekly.npz" in str(refused.value)


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "Weekly.npz").write_text("id,value")
    with pytest.raises(InvalidInputError, match=r"Weekly\.npz must be an npz file .*another kind"):
        collections(tmp_path)


def test_a_folder_without_such_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="hourly"):
        collections(tmp_path)
