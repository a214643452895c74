from __future__ import annotations

import json

import numpy as np
import pytest

from core.artifact import ARRAYS, TEXT, pack, unpack
from core.contracts import Blob
from core.errors import PersistenceError

STATE = {
    "net.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "centre": np.array([0.5, np.nan, np.inf]),
    "count": np.array(7, dtype=np.int64),
    "known": np.array([True, False]),
    "empty": np.zeros((0, 4)),
    "metrics": "impressions\nctr",
    "trees": Blob("ubj", b"{U\x01a}"),
}


def test_every_value_comes_back_with_its_type_and_shape():
    back = unpack(pack(STATE))
    assert set(back) == set(STATE)
    for role, value in STATE.items():
        if isinstance(value, np.ndarray):
            assert back[role].dtype == value.dtype
            assert np.array_equal(back[role], value, equal_nan=value.dtype.kind == "f")
            assert back[role].shape == value.shape
        else:
            assert back[role] == value


def test_arrays_text_and_blobs_lie_in_files_of_their_own():
    assert set(pack(STATE)) == {ARRAYS, TEXT, "trees.ubj"}


def test_the_same_state_gives_the_same_bytes_in_any_order():
    assert pack(STATE) == pack(dict(reversed(STATE.items())))


def test_arrays_that_do_not_lie_in_one_piece_come_back_right():
    turned = np.arange(12.0).reshape(3, 4).T[::-1]
    swapped = np.arange(3.0).astype(">f8")
    back = unpack(pack({"turned": turned, "swapped": swapped}))
    assert np.array_equal(back["turned"], turned)
    assert np.array_equal(back["swapped"], [0.0, 1.0, 2.0])


def test_opened_arrays_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        unpack(pack(STATE))["centre"][0] = 1.0


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"a": np.array(["text"])}, "<U4"),
        ({"a": np.array([object()], dtype=object)}, "object"),
        ({"a": np.array(["2026-01-01"], dtype="datetime64[s]")}, "datetime64"),
        ({"a": 3.0}, "float"),
        ({"a": {"nested": 1}}, "dict"),
        ({"a": Blob("pickle", b"")}, "pickle"),
        ({"../a": "text"}, "../a"),
        ({"": "text"}, "''"),
        ({"arrays": Blob("safetensors", b"")}, "arrays"),
    ],
)
def test_what_no_listed_format_can_hold_is_refused_by_name(state, told):
    with pytest.raises(PersistenceError, match="pack: ") as refused:
        pack({**state, "centre": np.zeros(2)})
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "files",
    [
        {"model.pkl": b"\x80\x04."},
        {"arrays": b""},
        {ARRAYS: b""},
        {ARRAYS: b"\xff" * 64},
        {ARRAYS: pack(STATE)[ARRAYS][:-3]},
        {ARRAYS: pack(STATE)[ARRAYS] + b"x"},
        {TEXT: b"{"},
        {TEXT: b"[]"},
        {TEXT: b'{"a": 1}'},
        {TEXT: b'{"a": NaN}'},
        {TEXT: b'{"a": "x", "a": "y"}'},
        {TEXT: b'{"../a": "x"}'},
        {TEXT: b"\xff\xfe"},
        {"a/b.ubj": b""},
        {TEXT: b'{"trees": "x"}', "trees.ubj": b""},
    ],
)
def test_malformed_files_are_refused(files):
    with pytest.raises(PersistenceError, match="unpack: "):
        unpack(files)


def test_a_type_that_numpy_lacks_is_refused():
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    with pytest.raises(PersistenceError):
        unpack({ARRAYS: len(header).to_bytes(8, "little") + header + b"\x00\x00"})
