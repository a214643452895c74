from __future__ import annotations

import pytest

from core import catalog
from core.contracts import Tags
from core.detectors.robust_z import RobustZ
from core.errors import InvalidInputError, MissingExtraError, UnknownNameError


def test_an_algorithm_is_made_by_name_with_parameters_as_text():
    made = catalog.make("robust-z", largest="2")
    assert isinstance(made, RobustZ)
    assert made.params.largest == 2


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="robust-z, isolation-forest"):
        catalog.get("no-such-thing")


def test_a_wrong_parameter_is_refused():
    with pytest.raises(InvalidInputError, match=r"in \[1, 100\]. Got 0"):
        catalog.make("robust-z", largest=0)


def test_an_absent_library_is_told_with_its_cure(monkeypatch):
    monkeypatch.setattr(RobustZ, "tags", Tags(extra="dask", modules=("numpy", "no_such_library")))
    assert not catalog.installed(RobustZ)
    with pytest.raises(MissingExtraError, match=r'pip install -e "\.\[dask\]"') as refused:
        catalog.make("robust-z")
    assert refused.value.context["dependency"] == "no_such_library"
    row = next(row for row in catalog.describe() if row["name"] == "robust-z")
    assert (row["installed"], row["extra"]) == (False, "dask")


def test_entries_of_one_kind_are_of_that_kind():
    assert {algorithm.kind for _, algorithm in catalog.entries("forecaster")} == {"forecaster"}


def test_a_description_holds_what_a_form_needs():
    row = next(row for row in catalog.describe() if row["name"] == "robust-z")
    assert row["summary"].startswith("Distance from the median")
    scope = next(spec for spec in row["params"] if spec["name"] == "scope")
    assert scope["choices"] == ("pooled", "entity", "given")
    assert set(scope) == {"name", "default", "help", "low", "high", "choices", "unit"}


def test_names_are_registered_once():
    names = [entry.name for entry in catalog.ENTRIES]
    assert len(set(names)) == len(names)
