"""The docs are asserted against the live code: what they list exists, and what exists is listed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
PAGES = ("README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))


def test_the_commands_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("commands", ROOT / "docs" / "commands.py")
    assert spec is not None and spec.loader is not None
    commands = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(commands)
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
