"""`headwater evaluate`: what the algorithms are worth on labelled data, with nothing but files; no server, no store."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.plain import plain
from workbench.terminal import Json, answer, out, progress, table

evaluate_app = typer.Typer(help="Algorithms on labelled data.", no_args_is_help=True)

DETECTION = {
    "algorithm": "Algorithm",
    "series": "Series",
    "vus_pr": "VUS-PR",
    "auc_pr": "AUC-PR",
    "auc_roc": "AUC-ROC",
    "best_f1": "Best F1*",
    "nab.standard": "NAB",
    "nab.low_fp": "low FP",
    "nab.low_fn": "low FN",
    "fpr.0.05": "FPR 5 %",
    "fpr.0.01": "FPR 1 %",
    "fpr.0.001": "FPR 0.1 %",
    "root_cause.hit@3": "Hit@3",
    "seconds": "Seconds",
}
ORDER = ("nab.standard", "vus_pr", "auc_roc")
"""What a table is sorted by: the first figure of these that its rows have."""


@evaluate_app.command("detection")
def evaluate_detection(
    path: Annotated[
        Path, typer.Argument(help="Folder of a labelled suite, or of several", exists=True)
    ],
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help="Catalogue name, repeatable, or all; the product's default when absent"),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="key=value of an algorithm's parameter"),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core when absent")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score detectors on labelled series and tables; exit 1 if a case failed."""
    from workbench.services import evaluate

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress("Evaluating") as on_step:
        found = plain(
            evaluate.evaluate_detection(
                path,
                algorithms=algorithm or (),
                params=dict(map(pair, param or ())),
                jobs=jobs,
                on_step=on_step,
            )
        )
    single = len(found["results"]) == 1 and not found["skipped"]
    shown = found["results"][0] if single else {key: found[key] for key in ("results", "skipped")}
    answer(shown, as_json, lambda _: draw_detection(found))
    if any(result["failed"] for result in found["results"]):
        raise typer.Exit(1)


def pair(text: str) -> tuple[str, str]:
    """`key=value` as a pair."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"must be key=value. Got {text!r}.")
    return key, value


def draw_detection(found: Mapping[str, Any]) -> None:
    """A table per suite, the best first, published figures on the same files among them."""
    for suite in dict.fromkeys(result["suite"] for result in found["results"]):
        results = [result for result in found["results"] if result["suite"] == suite]
        peers = [
            {**peer, "algorithm": f"{peer['algorithm']} (published)"}
            for peer in found["published"].get(suite, ())
        ]
        rows = [_flat(row) for row in (*results, *peers)]
        columns = {key: title for key, title in DETECTION.items() if _known(rows, key)}
        rank = next((key for key in ORDER if key in columns), "algorithm")
        rows.sort(key=lambda row: (row.get(rank) is None, -(row.get(rank) or 0.0)))
        out.print(f"[bold]{suite}[/]")
        table(rows, columns, "nothing was scored")
        for result in results:
            for case in result["failed"]:
                out.print(f"  failed: {result['algorithm']} on {case['series']}: {case['error']}")
    for row in found["skipped"]:
        out.print(f"not scored: {row['algorithm']} on {row['suite']}: {row['reason']}")
    out.print(
        "* best threshold chosen with the labels in hand, as is NAB's; seconds to fit and score"
    )


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        f"{outer}.{inner}": value
        for outer in ("nab", "fpr", "root_cause")
        for inner, value in (row.get(outer) or {}).items()
    }
    return {**row, **nested}


def _known(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(row.get(key) is not None for row in rows)
