"""Learn what the localizer `headwater` ships with from labelled suites: `python -m benchmarks.reranker PATH`.

Writes `core/rootcause/reranker.json`: a weight per name-free feature, a heat, and where belief begins, for metrics and
for events. Nothing in it tells of a suite but its name. How good it is on causes it never saw is what
`headwater evaluate cause PATH` measures, which learns anew with every group left out.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.rootcause import reranker
from core.rootcause.choice import Choice
from data.cause_suites import suites

SHIPPED = Path(reranker.__file__).with_name(reranker.SHIPPED)


def learn(path: Path) -> dict[str, object]:
    """What the suites of a folder teach, with the names of those suites."""
    taught = [suite for suite in suites(path) if suite.kind in reranker.EVIDENCE]
    cases = [suite.case(name) for suite in taught for name in suite.cases]
    truths = [suite.truth(name) for suite in taught for name in suite.cases]
    state = reranker.Reranker().learned(cases, truths).state
    return {
        "suites": {suite.name: len(suite.cases) for suite in taught},
        "choices": {kind: asdict(Choice.read(str(text))) for kind, text in state.items()},
    }


def main(
    path: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of suites")],
) -> None:
    """Learn the shipped weights."""
    text = json.dumps(learn(path), indent=2) + "\n"
    SHIPPED.write_text(text, encoding="utf-8")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
