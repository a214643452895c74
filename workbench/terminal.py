"""What the command line prints: answers as tables or JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from core.contracts import OnStep
from core.domains import DOMAINS, local_day

err = Console(stderr=True)
# a pipe has no width: give the table room instead of cutting it to 80 columns
out = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


@contextmanager
def progress(title: str) -> Iterator[OnStep]:
    """A bar on a terminal's stderr that follows `on_step(stage, share, numbers)`; silent elsewhere."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=1.0)

        def on_step(stage: str, share: float, numbers: Mapping[str, float] | None = None) -> None:
            shown = "  ".join(f"{key} {value:,.4g}" for key, value in (numbers or {}).items())
            bar.update(task, description=f"{title}: {stage}  {shown}".rstrip(": "), completed=share)

        yield on_step


def answer(value: Any, as_json: bool, draw: Callable[[Any], None]) -> None:
    """Print the answer as one JSON object or drawn for a person."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        draw(value)


PROSE = ("title", "parts", "sentence", "summary", "message", "evidence")
"""Columns that may run over several lines; the others are cut."""
LONG = ("explanation", "root_causes", "candidates", "parts", "market_conditions")
KEEPING = (
    "fingerprint",
    "severity_rank",
    "tenant",
    "updated_by",
    "version",
    "hash",
    "previous_hash",
)
"""What `show` leaves to --json, `explain` and `cause`; and the bookkeeping of a record."""


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """Rows as a table: column key → heading; `empty` says what to do when there are none."""
    if not rows:
        out.print(empty)
        return
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for key, heading in columns.items():
        drawn.add_column(heading, no_wrap=key not in PROSE, overflow="ellipsis")
    for row in rows:
        drawn.add_row(*(_cell(key, row.get(key), row.get("domain")) for key in columns))
    out.print(drawn)


def _cell(key: str, value: Any, domain: Any = "") -> str:
    if value is None:
        return "–"
    if key == "confidence":
        return f"{value:.0%}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if key == "onset" and not _by_the_minute(domain):
        return f"{local_day(datetime.fromisoformat(value))}"
    if isinstance(value, str) and MOMENT.match(value):
        return value[:16].replace("T", " ")
    return str(value)


def _by_the_minute(domain: Any) -> bool:
    return domain in DOMAINS and DOMAINS[domain].step < timedelta(days=1)


def facts(value: Mapping[str, Any], indent: str = "") -> None:
    """A mapping as aligned lines, nested ones below their name."""
    shown = {key: item for key, item in value.items() if key not in LONG + KEEPING}
    width = max((len(key) for key in shown), default=0)
    for key, item in shown.items():
        if isinstance(item, Mapping):
            out.print(f"{indent}[bold]{key}[/]" if item else f"{indent}[bold]{key:<{width}}[/]  –")
            facts(item, indent + "  ")
        elif isinstance(item, list):
            out.print(
                f"{indent}[bold]{key:<{width}}[/]  {len(item):,}"
                if item
                else f"{indent}[bold]{key:<{width}}[/]  –"
            )
            for row in item[:20]:
                out.print(f"{indent}  · {_line(row)}")
        else:
            cell = _cell(key, item, value.get("domain"))
            out.print(f"{indent}[bold]{key:<{width}}[/]  {cell}")


def _line(row: Any) -> str:
    if not isinstance(row, Mapping):
        return str(row)
    pairs = ((key, item) for key, item in row.items() if not isinstance(item, list | dict))
    return ", ".join(
        f"{key} {_cell(key, item, row.get('domain'))}"
        for key, item in pairs
        if item not in (None, "")
    )
