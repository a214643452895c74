"""Write docs/algorithms/ (a page per algorithm) and the tables of docs/benchmarks.md from code and measurements.

Run it after a change of either: `.venv/bin/python docs/algorithms.py`; a test fails while a page is stale.
The measurements in docs/measured/ are what `headwater evaluate … --json` printed, without the single series.
`.venv/bin/python docs/algorithms.py keep FILE…` takes such output over, algorithm by algorithm;
`… peers FOLDER…` the published figures that lie beside the suites. docs/measured/without.json says why an
algorithm has no figure on a suite: suite → reason → algorithms.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core import catalog

DOCS = Path(__file__).parent
PAGES, MEASURED = DOCS / "algorithms", DOCS / "measured"
BENCHMARKS = DOCS / "benchmarks.md"
WITHOUT = MEASURED / "without.json"
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "detection": {
        "VUS-PR": ("vus_pr",),
        "AUC-PR": ("auc_pr",),
        "AUC-ROC": ("auc_roc",),
        "best F1 (oracle)": ("best_f1",),
        "NAB": ("nab", "standard"),
        "low FP": ("nab", "low_fp"),
        "low FN": ("nab", "low_fn"),
        "false alarms at 5 %": ("fpr", "0.05"),
        "at 1 %": ("fpr", "0.01"),
        "at 0.1 %": ("fpr", "0.001"),
        "seconds": ("seconds",),
    },
    "forecast": {
        "sMAPE": ("smape",),
        "MASE": ("mase",),
        "OWA": ("owa",),
        "OWA weekly": ("groups", "weekly", "owa"),
        "OWA hourly": ("groups", "hourly", "owa"),
        "80 % interval holds": ("coverage", "0.8"),
        "95 % holds": ("coverage", "0.95"),
        "ms a series": ("ms_per_series",),
    },
    "eventlog": {
        "trace F1": ("trace", "f1"),
        "trace AP": ("trace", "ap"),
        "attribute F1": ("attribute", "f1"),
        "attribute AP": ("attribute", "ap"),
        "seconds": ("seconds",),
    },
}
"""What each kind of evaluation measures: heading → where its JSON holds it."""
LONG = ("per_series", "failed", "by_kind", "peers")
"""What of a result is too long to be kept."""
FAMILIAR = ("Sub_PCA", "Sub-PCA", "IForest", "AutoEncoder", "SR", "LSTMAD", "MatrixProfile")
"""Published detectors whose algorithm is in the catalogue too."""
SHARES = {"false alarms at 5 %", "at 1 %", "at 0.1 %", "80 % interval holds", "95 % holds"}
FIRST = {"detection": ("VUS-PR", "AUC-ROC"), "forecast": ("OWA",), "eventlog": ("trace AP",)}
"""What the rows are sorted by: the first of these that was measured."""


# ── Measurements ─────────────────────────────────────────────────────────────────────────────────


def measured() -> dict[str, dict[str, dict[str, Any]]]:
    """Kind → suite → algorithm (or peer) → its result."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(MEASURED.glob("*/*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        found.setdefault(path.parent.name, {})[path.stem] = {
            result["algorithm"]: result for result in results
        }
    return found


def keep(paths: list[Path]) -> None:
    """Take over the output of `headwater evaluate`; a result replaces the one of its suite and algorithm."""
    for path in paths:
        said = json.loads(path.read_text(encoding="utf-8"))
        for result in said.get("results", [said]):
            kind = next(kind for kind, columns in COLUMNS.items() if _fits(result, columns))
            kept = MEASURED / kind / f"{result['suite']}.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            before = json.loads(kept.read_text())["results"] if kept.exists() else []
            beside = [{**peer, "peer": True} for peer in result.get("peers", [])]
            new = {
                one["algorithm"]: {key: one[key] for key in one if key not in LONG}
                for one in (result, *beside)
            }
            others = [other for other in before if other["algorithm"] not in new]
            together = sorted([*others, *new.values()], key=lambda one: str(one["algorithm"]))
            kept.write_text(json.dumps({"results": together}, indent=1) + "\n", encoding="utf-8")


def peers(folders: list[Path]) -> None:
    """Take over what published detectors reach on the same files: the five best, and those named here."""
    from data.labelled import published, suite

    for folder in folders:
        found = published(suite(folder))
        best = sorted(found, key=lambda one: -(one.get("vus_pr") or one["nab"]["standard"]))
        shown = [one for one in best if one in best[:8] or one["algorithm"] in FAMILIAR]
        kept = MEASURED / "detection" / f"{folder.name}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(kept.read_text())["results"] if kept.exists() else []
        ours = [one for one in before if not one.get("peer")]
        together = [*ours, *({**one, "peer": True} for one in shown)]
        kept.write_text(json.dumps({"results": together}, indent=1) + "\n", encoding="utf-8")


def _fits(result: Mapping[str, Any], columns: Mapping[str, tuple[str, ...]]) -> bool:
    return next(iter(columns.values()))[0] in result


def _value(result: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    found: Any = result
    for key in path:
        found = (found or {}).get(key)
    return found if isinstance(found, int | float) else None


def _cell(heading: str, value: float | None) -> str:
    if value is None:
        return ""
    if heading in SHARES:
        return f"{100 * value:.3g} %"
    return f"{value:.3f}" if abs(value) < 2 else f"{value:,.1f}"


def _table(kind: str, rows: Mapping[str, Mapping[str, Any]], first: str, linked: str) -> list[str]:
    """One row per name, best first, with the columns that anybody has."""
    columns = {
        heading: path
        for heading, path in COLUMNS[kind].items()
        if any(_value(result, path) is not None for result in rows.values())
    }
    leading = next((name for name in FIRST[kind] if name in columns), next(iter(columns), ""))
    sign = 1 if kind == "forecast" else -1

    def rank(item: tuple[str, Mapping[str, Any]]) -> float:
        value = _value(item[1], columns[leading])
        return float("inf") if value is None else sign * value

    lines = [f"| {first} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, result in sorted(rows.items(), key=rank):
        shown = name
        if linked and not result.get("peer"):
            shown = f"[{name}]({linked}{name}.md)"
        elif result.get("peer"):
            shown = f"*{name}*"
        cells = (_cell(heading, _value(result, path)) for heading, path in columns.items())
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    return lines


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────


def pages() -> dict[Path, str]:
    """Every page by its path."""
    rows, figures = catalog.describe(), measured()
    written = {PAGES / "README.md": _index(rows)}
    for row in rows:
        written[PAGES / f"{row['name']}.md"] = "\n".join(_page(row, figures)) + "\n"
    written[BENCHMARKS] = BLOCK.sub(
        lambda block: f"{block[1]}{_suites(figures.get(block[2], {}), block[2])}{block[3]}",
        BENCHMARKS.read_text(encoding="utf-8"),
    )
    return written


def _index(rows: list[dict[str, Any]]) -> str:
    kinds = dict.fromkeys(row["kind"] for row in rows)
    lines = [
        "# Algorithms",
        "",
        "Made from the code by `docs/algorithms.py`. Adding one is one file in `core/` and one line in",
        "`core/catalog.py`; the checks, the training form, the API and its page here come by themselves.",
        "What each is worth beside the others stands in [benchmarks.md](../benchmarks.md).",
    ]
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        lines += ["", f"## {kind.capitalize()}s ({len(own)})", "", "| name | what it gives |"]
        lines += ["|---|---|"]
        lines += [f"| [{row['name']}]({row['name']}.md) | {row['summary']} |" for row in own]
    return "\n".join(lines) + "\n"


def _page(row: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    promises = [name for name in ("causal", "streaming", "stochastic") if row["tags"][name]]
    yield f"# {row['name']}"
    yield ""
    yield f"*{', '.join([row['kind'], *promises])}*"
    if row["extra"]:
        yield f"Needs an extra: `{row['install']}`"
    yield ""
    yield inspect.getdoc(catalog.get(row["name"])) or ""
    yield ""
    yield "| parameter | default | allowed | meaning |"
    yield "|---|---|---|---|"
    for spec in row["params"]:
        yield _param_line(spec)
    for kind, suites in figures.items():
        own = {suite: rows[row["name"]] for suite, rows in suites.items() if row["name"] in rows}
        if own:
            yield ""
            yield f"Measured by `headwater evaluate {kind}` (beside the others in [benchmarks.md](../benchmarks.md)):"
            yield ""
            yield from _table(kind, own, "suite", "")


def _param_line(spec: Mapping[str, Any]) -> str:
    low, high = (
        unbounded if spec[side] is None else f"{spec[side]:,}"
        for side, unbounded in (("low", "-∞"), ("high", "∞"))
    )
    allowed = ", ".join(f"`{choice}`" for choice in spec["choices"]) or f"{low} … {high}"
    if not spec["choices"] and isinstance(spec["default"], str | bool):
        allowed = "true, false" if isinstance(spec["default"], bool) else "text"
    unit = f" {spec['unit']}" if spec["unit"] else ""
    return f"| `{spec['name']}` | `{spec['default']}` | {allowed}{unit} | {spec['help']} |"


def _suites(suites: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    lines = []
    for suite, rows in suites.items():
        series = max(result.get("series") or result.get("traces") or 0 for result in rows.values())
        lines += ["", f"#### {suite} ({series})", ""]
        lines += _table(kind, rows, "algorithm", "algorithms/")
        for reason, names in json.loads(WITHOUT.read_text(encoding="utf-8")).get(suite, {}).items():
            lines += ["", f"Without figures, as {reason}: {', '.join(names)}."]
    return "\n".join([*lines, "", ""])


if __name__ == "__main__":
    verbs = {"keep": keep, "peers": peers}
    if sys.argv[1:]:
        verbs[sys.argv[1]]([Path(name) for name in sys.argv[2:]])
    PAGES.mkdir(exist_ok=True)
    made = pages()
    for stale in set(PAGES.glob("*.md")) - set(made):
        stale.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
