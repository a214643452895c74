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
from rich.text import Text

from core.contracts import OnStep
from core.domains import DOMAINS, local_day
from core.quantities import amount

# names and values of people's data are printed as they are, also where they look like [markup] or an :emoji:
err = Console(stderr=True, markup=False, emoji=False)
# a pipe has no width: give the table room instead of cutting it to 80 columns
out = Console(
    width=None if sys.stdout.isatty() else 200, highlight=False, markup=False, emoji=False
)
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout")]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


@contextmanager
def progress(title: str) -> Iterator[OnStep]:
    """A bar on a terminal's stderr that follows `on_step(stage, share, numbers)`; silent elsewhere."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
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


def bold(heading: str, rest: str = "") -> Text:
    """A heading that stands out, and what follows it."""
    return Text.assemble((heading, "bold"), rest)


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
NAMED = 6
"""Names of a list that one line holds."""


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """Rows as a table: column key → heading; `empty` says what to do when there are none."""
    if not rows:
        out.print(empty)
        return
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for key, heading in columns.items():
        drawn.add_column(heading, no_wrap=key not in PROSE, overflow="ellipsis")
    for row in rows:
        drawn.add_row(*(cell(key, row.get(key), row) for key in columns))
    out.print(drawn)


def cell(key: str, value: Any, row: Mapping[str, Any]) -> str:
    """A value of a row as people read it: by what it is of, else by what it is."""
    if value is None:
        return "–"
    if key in CELLS:
        return CELLS[key](value, row)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        more = f" +{len(value) - NAMED}" if len(value) > NAMED else ""
        return ", ".join(map(str, value[:NAMED])) + more
    if isinstance(value, str) and MOMENT.match(value):
        return value[:16].replace("T", " ")
    return str(value)


def _share(value: Any, _: Any) -> str:
    return f"{value:.0%}"


def _word(value: Any, _: Any) -> str:
    return str(value).replace("_", " ")


def _type(value: Any, row: Mapping[str, Any]) -> str:
    """A cause by the display word that is kept with it."""
    return str(row.get("type_label") or _word(value, row))


def _onset(value: Any, row: Mapping[str, Any]) -> str:
    """The minute, or the local day where a domain is measured by day."""
    domain = row.get("domain")
    if domain in DOMAINS and DOMAINS[domain].step < timedelta(days=1):
        return str(value)[:16].replace("T", " ")
    return f"{local_day(datetime.fromisoformat(value))}"


def _minutes(value: Any, _: Any) -> str:
    hours, minutes = divmod(round(value), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def _money(value: Any, row: Mapping[str, Any]) -> str:
    return amount(value, "money", row.get("currency") or "") if value else ""


def _measured(value: Any, row: Mapping[str, Any]) -> str:
    """A measurement in its unit; of rows that name none, what was given."""
    return amount(value, row["unit"]) if "unit" in row else str(value)


def _sentences(value: Any, _: Any) -> str:
    return "; ".join(value) if isinstance(value, list) else str(value)


CELLS: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "confidence": _share,
    "progress": _share,
    "hard_share": _share,
    "cause": _word,
    "cause_type": _word,
    "root_cause": _word,
    "type": _type,
    "onset": _onset,
    "lead_minutes": _minutes,
    "duration_minutes": _minutes,
    "spend_at_risk": _money,
    "revenue_impact": _money,
    "before": _measured,
    "during": _measured,
    "after": _measured,
    "evidence": _sentences,
}
"""Key of a value → how it is written, where that is more than its kind tells."""


def facts(value: Mapping[str, Any], indent: str = "") -> None:
    """A mapping as aligned lines, nested ones below their name; what is empty is left out."""
    shown = {
        _heading(key): (key, item)
        for key, item in value.items()
        if key not in LONG + KEEPING and item not in (None, "", {}, [])
    }
    width = max((len(heading) for heading, (_, item) in shown.items() if _flat(item)), default=0)
    for heading, (key, item) in shown.items():
        if isinstance(item, Mapping):
            out.print(bold(f"{indent}{heading}"))
            facts(item, indent + "  ")
        elif _flat(item):
            told = cell(key, item, value)
            out.print(bold(f"{indent}{heading:<{width}}", f"  {told}"), soft_wrap=True)
        else:
            out.print(bold(f"{indent}{heading}"))
            columns = [name for name, part in item[0].items() if _flat(part)]
            table(item, {name: _heading(name) for name in columns if name not in KEEPING}, "")


def _heading(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def _flat(item: Any) -> bool:
    """Whether it fits on a line: neither a mapping nor rows of them."""
    rows = isinstance(item, list) and bool(item) and isinstance(item[0], Mapping)
    return not rows and not isinstance(item, Mapping)
