"""Every algorithm of the catalogue × every check that its kind and tags call for."""

from __future__ import annotations

import pytest

from core import catalog
from core.checks import yield_checks

ALGORITHMS = list(catalog.entries())


def cases():
    for name, algorithm in ALGORITHMS:
        for check_name, check in yield_checks(algorithm):
            reason = algorithm.tags.skip.get(check_name)
            marks = [pytest.mark.xfail(reason=reason, raises=AssertionError)] if reason else []
            yield pytest.param(algorithm, check, id=f"{name}-{check_name}", marks=marks)


@pytest.mark.parametrize(("algorithm", "check"), list(cases()))
def test_contract(algorithm, check):
    if not catalog.installed(algorithm):
        pytest.skip(f"{algorithm.name} needs {', '.join(algorithm.tags.modules)}")
    check(algorithm)


@pytest.mark.parametrize(("name", "algorithm"), ALGORITHMS)
def test_the_registered_name_is_the_name_of_the_class(name, algorithm):
    assert algorithm.name == name


@pytest.mark.parametrize(("name", "algorithm"), ALGORITHMS)
def test_only_checks_that_exist_are_skipped(name, algorithm):
    assert set(algorithm.tags.skip) <= {check_name for check_name, _ in yield_checks(algorithm)}
