"""The rules of the house that no linter knows: short files, one way down, nothing loaded that nobody asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "data", "models", "workbench", "pages", "benchmarks")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
BANNED_NAMES = {"utils", "common", "helpers", "misc", "util"}
BANNED_TEXT = (
    "import pickle",
    "import joblib",
    "torch.load(",
    "allow_pickle=True",
    "unsafe_allow_html=True",
)


def test_no_file_is_longer_than_700_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 700} == {}


def test_every_room_has_a_noun_for_a_name() -> None:
    assert [path for path in SOURCES if path.stem in BANNED_NAMES] == []


@pytest.mark.parametrize("text", BANNED_TEXT)
def test_what_may_never_be_written(text: str) -> None:
    assert [path for path in SOURCES if text in path.read_text()] == []


def test_only_data_speaks_sql() -> None:
    speaks = re.compile(r"^\s*(from|import) (sqlalchemy|sqlmodel|duckdb)\b", re.MULTILINE)
    others = [
        path for path in SOURCES if path.relative_to(ROOT).parts[0] not in ("data", "benchmarks")
    ]
    assert [str(path) for path in others if speaks.search(path.read_text())] == []


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_core_needs_nothing_but_arrays() -> None:
    """All of `core` imports where only numpy, scipy, scikit-learn and networkx are there; the rest comes when used."""
    code = (
        "import importlib, pkgutil, sys, networkx, numpy, scipy, sklearn\n"
        "before = set(sys.modules)\n"
        "import core\n"
        "for found in pkgutil.walk_packages(core.__path__, 'core.'):\n"
        "    importlib.import_module(found.name)\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - sys.stdlib_module_names))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "['core']"
