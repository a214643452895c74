"""The docs are asserted against the live code: what they list exists, and what exists is listed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from core import catalog

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
PAGES = ("README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))


def script(name: str) -> Any:
    """A program of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_algorithm_has_its_page_and_every_figure_its_measurement() -> None:
    algorithms = script("algorithms")
    made = algorithms.pages()
    stale = [str(path) for path, text in made.items() if path.read_text("utf-8") != text]
    assert stale == [], "run: .venv/bin/python docs/algorithms.py"
    assert {path.stem for path in algorithms.PAGES.glob("*.md")} == {
        "README",
        *(entry.name for entry in catalog.ENTRIES),
    }


def test_the_commands_page_is_current() -> None:
    commands = script("commands")
    kept = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert kept == commands.page(), "run: .venv/bin/python docs/commands.py"
    listed = re.findall(r"^### `headwater ([a-z ]+)`$", kept, re.MULTILINE)
    assert len(listed) > 20 and {"demo", "import", "detect", "alerts ack", "simulate ads"} <= {
        *listed
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    broken = [
        link
        for link in LINK.findall((ROOT / page).read_text(encoding="utf-8"))
        if not (folder / link).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_without_a_gap_and_fit_on_a_page() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(len(path.read_text(encoding="utf-8").split()) < 600 for path in decisions)


def test_the_readme_knows_every_make_target_it_names() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"demo", "test", "lint", "bench", "screenshots"} <= targets
    assert named <= targets
