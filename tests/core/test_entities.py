"""What was learned of an entity is found by its name alone."""

from __future__ import annotations

import dataclasses

import pytest

from core import catalog
from core.entities import row_of, rows_of
from core.errors import InvalidInputError
from core.samples import sample


def test_a_row_is_found_by_name_and_an_unknown_one_is_told():
    known = row_of({"entities": "a\nb\nc d"})
    assert rows_of(("c d", "x", "a"), known).tolist() == [2, -1, 0]


@pytest.mark.parametrize("name", ["one\ntwo", "\n"])
def test_a_name_that_does_not_fit_on_a_line_is_refused(name):
    panel = sample(n_entity=2)
    odd = dataclasses.replace(panel, entities=(name, "b"))
    with pytest.raises(InvalidInputError, match="on one line"):
        catalog.make("robust-z").fit(odd)
