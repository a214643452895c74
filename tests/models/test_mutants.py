"""No damaged, swapped or forged model is silently wrong, hangs, or takes the process with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core import catalog
from tests.models.mutants import MUTATIONS

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("robust-z", "isolation-forest", "logistic", "xgboost", "lightgbm")
"""One algorithm for each format that a state is kept in."""
UNSIGNED = {
    "SignatureError",
    "ChecksumMismatchError",
    "MissingArtifactError",
    "PersistenceError",
}
NAMED = {
    **dict.fromkeys(MUTATIONS, UNSIGNED),
    "reorder": {"SignatureError"},
    "transplant": {"SignatureError", "MissingArtifactError"},
    "foreign": {"SignatureError"},
    "elsewhere": {"PersistenceError"},
    "insider": UNSIGNED | {"IncompatibleVersionError", "SelfTestError"},
}
"""The errors that may refuse each kind of mutant."""


def run(home: Path, count: int, names: list[str], seed: int = 1) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.models.mutants", home, str(seed), str(count), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    mutants = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(mutants) == count
    return mutants


def judge(mutants: list[dict[str, Any]]) -> None:
    """Each mutant was refused with a reason of its kind; or it changed nothing, and scores alike."""
    harmless = {"swap", "insider"}  # two equal files; a manifest that only drops what has a default
    for mutant in mutants:
        if mutant["end"] == "alike":
            assert mutant["kind"] in harmless, mutant
        else:
            assert mutant["end"] == "refused", mutant
            assert mutant["error"] in NAMED[mutant["kind"]], mutant
            assert mutant["message"], mutant
    assert {mutant["kind"] for mutant in mutants} == set(MUTATIONS)
    assert Counter(mutant["end"] for mutant in mutants)["refused"] > 0.95 * len(mutants)


def available(names: tuple[str, ...] | list[str]) -> list[str]:
    return [name for name in names if catalog.installed(catalog.get(name))]


def test_500_mutants_are_refused_each_with_its_reason(tmp_path: Path) -> None:
    judge(run(tmp_path, 500, available(FORMATS)))


@pytest.mark.slow
def test_20_000_mutants_of_the_whole_catalogue(tmp_path: Path) -> None:
    trained = [name for name, algorithm in catalog.entries() if algorithm.tags.trained]
    judge(run(tmp_path, 20_000, available(trained), seed=2))
