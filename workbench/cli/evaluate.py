"""`headwater evaluate`: what the algorithms are worth on labelled data, with nothing but files; no server, no store."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.plain import plain
from workbench.terminal import Json, answer, bold, out, progress, table

evaluate_app = typer.Typer(help="Algorithms on labelled data.", no_args_is_help=True)

Suites = Annotated[
    Path,
    typer.Argument(help="Folder of a labelled suite, or of several", exists=True, file_okay=False),
]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="key=value of an algorithm's parameter"),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; one per core when absent")]
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
    path: Suites,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help="Catalogue name, repeatable, or all; the product's default when absent"),
    ] = None,
    param: Param = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Score detectors on labelled series and tables; exit 1 if a case failed.

    The folder holds data/a.csv of timestamp,value and combined_windows.json,
    {"a.csv": [["first time", "last time"], …]}; or npz files of x and y (and
    window, train); or of train, test and test_y (and t0, step, in seconds); or
    of X, a row per case, and y. Labels are 0 or 1, NaN is missing, and the
    names of the npz and CSV files are yours.
    """
    from workbench.services import evaluate

    found = measured(evaluate.evaluate_detection, path, algorithm, param, jobs)
    single = len(found["results"]) == 1 and not found["skipped"]
    shown = found["results"][0] if single else {key: found[key] for key in ("results", "skipped")}
    answer(shown, as_json, lambda _: draw_detection(found))
    if any(result["failed"] for result in found["results"]):
        raise typer.Exit(1)


def measured(
    service: Callable[..., dict[str, Any]],
    path: Path,
    algorithm: list[str] | None,
    param: list[str] | None,
    jobs: int | None,
) -> dict[str, Any]:
    """What a service finds out in processes of its own, its steps drawn; a stop from outside ends them too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress("Evaluating") as on_step:
        found: dict[str, Any] = plain(
            service(
                path,
                algorithms=algorithm or (),
                params=dict(map(pair, param or ())),
                jobs=jobs,
                on_step=on_step,
            )
        )
    return found


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
        rank = next((key for key in ORDER if key in columns), "seconds")
        rows.sort(key=lambda row: (row.get(rank) is None, -(row.get(rank) or 0.0)))
        out.print(bold(suite))
        table(rows, columns, "nothing was scored")
        for result in results:
            failed: dict[str, list[str]] = {}
            for case in result["failed"]:
                failed.setdefault(case["error"], []).append(case["series"])
            for error, (first, *others) in failed.items():
                more = f" and {len(others)} more" if others else ""
                out.print(f"  failed: {result['algorithm']} on {first}{more}: {error}")
    for row in found["skipped"]:
        out.print(f"not scored: {row['algorithm']} on {row['suite']}: {row['reason']}")
    out.print(
        "* best threshold chosen with the labels in hand, as is NAB's; seconds to fit and score"
    )


def _flat(
    row: Mapping[str, Any], nesting: Sequence[str] = ("nab", "fpr", "root_cause")
) -> dict[str, Any]:
    nested = {
        f"{outer}.{inner}": value
        for outer in nesting
        for inner, value in (row.get(outer) or {}).items()
    }
    return {**row, **nested}


def _known(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(row.get(key) is not None for row in rows)


# ── Forecasts ────────────────────────────────────────────────────────────────────────────────────

FORECAST = {
    "algorithm": "Algorithm",
    "series": "Series",
    "owa": "OWA",
    "smape": "sMAPE",
    "mase": "MASE",
    "coverage.0.8": "In 80 %",
    "coverage.0.95": "In 95 %",
    "ms_per_series": "ms a series",
}


@evaluate_app.command("forecast")
def evaluate_forecast(
    path: Annotated[
        Path, typer.Argument(help="Folder of Hourly.npz, Weekly.npz, …, or one file", exists=True)
    ],
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help="Catalogue name, repeatable, or all; the median ensemble when absent"),
    ] = None,
    param: Param = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Score forecasters on series with what came next, as the M4 competition did; exit 1 if one failed.

    An npz file, named after its frequency, holds ids (n,); values, the
    histories end to end; offsets (n + 1,), where each begins and the last
    ends; and test (n, horizon), what came next.
    """
    from workbench.services import forecasts

    found = measured(forecasts.evaluate_forecast, path, algorithm, param, jobs)
    single = len(found["results"]) == 1 and not found["skipped"]
    answer(found["results"][0] if single else found, as_json, lambda _: draw_forecast(found))
    if any(result["failed"] for result in found["results"]):
        raise typer.Exit(1)


def draw_forecast(found: Mapping[str, Any]) -> None:
    """A table per group of series and one of all, the best first."""
    groups = dict.fromkeys(name for result in found["results"] for name in result["groups"])
    for group in (*groups, None) if len(groups) > 1 else groups or (None,):
        rows = [
            {"algorithm": result["algorithm"], **_flat(figures, ("coverage",))}
            for result in found["results"]
            if (figures := result if group is None else result["groups"].get(group))
        ]
        rows.sort(key=lambda row: (row.get("owa") is None, row.get("owa") or 0.0))
        out.print(bold(group or "all"))
        table(rows, FORECAST, "nothing was scored")
    for result in found["results"]:
        for task in result["failed"]:
            out.print(f"failed: {result['algorithm']} on {task['series']}: {task['error']}")
    for row in found["skipped"]:
        out.print(f"not scored: {row['algorithm']}: {row['reason']}")
    out.print("OWA is the error over that of Naive2; ms of processor time to fit and forecast")


# ── Event logs ───────────────────────────────────────────────────────────────────────────────────

EVENT_LOG = {
    "algorithm": "Algorithm",
    "trace.precision": "Precision",
    "trace.recall": "Recall",
    "trace.f1": "F1",
    "trace.ap": "AP",
    "attribute.f1": "Attribute F1",
    "attribute.ap": "Attribute AP",
    "seconds": "Seconds",
}


@evaluate_app.command("eventlog")
def evaluate_eventlog(
    path: Annotated[
        Path,
        typer.Argument(help="Folder with the log and its truth/", exists=True, file_okay=False),
    ],
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help="Catalogue name, repeatable, or all; the best of them when absent"),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="case=…, activity=…, …: the column of each part, where its name does not tell"
        ),
    ] = None,
    zone: Annotated[str, typer.Option(help="Of times that name none, and of office hours")] = "UTC",
    budget: Annotated[float, typer.Option(help="Share of the traces that raise an alarm")] = 0.1,
    as_json: Json = False,
) -> None:
    """Score detectors on a labelled event log: which traces went wrong, and which attribute of which event.

    Laid out as headwater simulate eventlog writes it: the log and, beside it,
    truth/traces.csv and truth/attributes.csv.
    """
    from workbench.services import event_logs

    with progress("Evaluating") as on_step:
        found = plain(
            event_logs.evaluate_event_log(
                path,
                algorithms=algorithm or (),
                mapping=dict(map(pair, column or ())),
                zone=zone,
                budget=budget,
                on_step=on_step,
            )
        )
    beside = {key: found[key] for key in ("peers", "feature_seconds", "refused")}
    single = len(found["results"]) == 1 and not (found["skipped"] or found["failed"])
    shown = {**found["results"][0], **beside} if single else found
    answer(shown, as_json, lambda _: draw_eventlog(found))
    if found["failed"]:
        raise typer.Exit(1)


def draw_eventlog(found: Mapping[str, Any]) -> None:
    """All algorithms and the peers, the best first, and the recall per kind of anomaly of the best."""
    rows = [_flat(row, ("trace", "attribute")) for row in (*found["results"], *found["peers"])]
    rows.sort(key=lambda row: -(row["trace.ap"] or 0.0))
    best = rows[0]
    out.print(
        bold(best["suite"], f": {best['anomalous']:,} of {best['traces']:,} traces went wrong")
    )
    table(rows, EVENT_LOG, "nothing was scored")
    kinds = (f"{kind} {row['recall']:.0%}" for kind, row in best["by_kind"].items())
    out.print(f"found by {best['algorithm']}: {', '.join(kinds)}")
    for row in found["skipped"]:
        out.print(f"not scored: {row['algorithm']}: {row['reason']}")
    for row in found["failed"]:
        out.print(f"failed: {row['algorithm']}: {row['error']}")
    if found["refused"]:
        out.print(f"{found['refused']:,} rows of the log could not be used")


# ── Root causes ──────────────────────────────────────────────────────────────────────────────────

CAUSE = {
    "method": "Method",
    "ac@1": "AC@1",
    "between": "95 %",
    "ac@3": "AC@3",
    "ac@5": "AC@5",
    "avg@5": "Avg@5",
    "map@3": "MAP@3",
    "chance_ac@1": "Chance",
    "subsystem_ac@1": "AC@1†",
    "subsystem_map@3": "MAP@3†",
    "specificity": "Quiet",
    "abstained": "Abstained",
    "class_accuracy": "Class",
    "macro_f1": "Macro-F1",
    "class_few.macro_f1": "of 3 labels",
    "class_unseen.macro_f1": "unseen",
    "seconds_per_case": "s/case",
}


@evaluate_app.command("cause")
def evaluate_cause(
    path: Suites,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Localizer, repeatable, or all; the product's own when absent"),
    ] = None,
    param: Param = None,
    classes: Annotated[
        bool, typer.Option(help="Also how well the kind of a cause is told; takes longest")
    ] = True,
    as_json: Json = False,
) -> None:
    """Score localizers on past incidents whose cause is known; exit 1 if a case failed.

    The folder holds suite.json (name, kind: metrics, events or dimensions,
    step_seconds), cases.csv (case_id, alarm_node, alarm_metric, alarm_at,
    root_causes, cause_class, group, subsystem), observations.parquet,
    reference.parquet, edges.csv and, where they are known, nodes.csv and
    edge_observations.parquet. Whatever learns is asked only about groups, and
    then about subsystems, that it learned nothing from.
    """
    from workbench.services import evaluate_cause as service

    with progress("Evaluating") as on_step:
        found = plain(
            service.evaluate_cause(
                path,
                methods=method or (),
                params=dict(map(pair, param or ())),
                classes=classes,
                on_step=on_step,
            )
        )
    single = len(found["results"]) == 1 and not found["skipped"]
    answer(found["results"][0] if single else found, as_json, lambda _: draw_cause(found))
    if any(case.get("error") for result in found["results"] for case in result["per_case"]):
        raise typer.Exit(1)


def draw_cause(found: Mapping[str, Any]) -> None:
    """A table per suite, the best first."""
    for suite in dict.fromkeys(result["suite"] for result in found["results"]):
        results = [result for result in found["results"] if result["suite"] == suite]
        rows = [
            {
                **_flat(row, ("class_few", "class_unseen")),
                "between": "{:.2f} – {:.2f}".format(*row["ci"]["ac@1"]),
            }
            for row in sorted(results, key=lambda row: -row["ac@1"])
        ]
        out.print(bold(suite, f": {rows[0]['cases']} cases"))
        columns = {key: title for key, title in CAUSE.items() if _known(rows, key)}
        table(rows, columns, "nothing was scored")
        for result in results:
            failed = [case for case in result["per_case"] if case.get("error")]
            for case in failed[:3]:
                out.print(f"  failed: {result['method']} on {case['case']}: {case['error']}")
            if len(failed) > 3:
                out.print(f"  and {len(failed) - 3} more")
    for row in found["skipped"]:
        out.print(f"not scored: {row['method']} on {row['suite']}: {row['reason']}")
    out.print(
        "AC@k: all n causes among the first n + k − 1; causes of the same group (†: subsystem) were never learned "
        "from; Quiet: fault-free windows in which no cause was found. The class of a cause does not depend on the "
        "method: recurring, learned from three labels a class, and of groups that were never learned from"
    )


# ── Failures before they happen ──────────────────────────────────────────────────────────────────

FAILURE = {
    "algorithm": "Algorithm",
    "average_precision": "Avg. precision",
    "between": "95 %",
    "base_rate": "Base rate",
    "lift": "Lift",
    "over_logistic.average_precision": "over logistic",
    "caught": "Caught",
    "lead.q1": "Lead, 25 %",
    "lead.median": "median",
    "lead.q3": "75 %",
    "false_alarms_per_1000": "False/1000",
    "seconds": "Seconds",
}


@evaluate_app.command("failure")
def evaluate_failure(
    path: Suites,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            help="Classifier or detector, repeatable, or all; extra-trees, logistic and failure-40-40-20 when absent"
        ),
    ] = None,
    param: Param = None,
    horizon: Annotated[
        list[int] | None, typer.Option(help="Periods ahead, repeatable; 30, 60 and 120 when absent")
    ] = None,
    budget: Annotated[
        float, typer.Option(help="False alarms per 1,000 quiet periods of a series")
    ] = 1.0,
    gap: Annotated[int, typer.Option(help="Periods after an event that are left out")] = 30,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Score how well events are foretold before they begin; exit 1 if a method failed.

    The folder holds npz files of train, test and test_y (and step, in
    seconds). Only quiet periods count: an event itself and the gap after it
    are left out. The first 40 % of test is learned from, the threshold is set
    on the next 20 % and the last 40 % is judged.
    """
    from workbench.services import evaluate_failure as service

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress("Evaluating") as on_step:
        found = plain(
            service.evaluate_failure(
                path,
                algorithms=algorithm or (),
                params=dict(map(pair, param or ())),
                horizons=horizon or service.HORIZONS,
                budget=budget,
                gap=gap,
                jobs=jobs,
                on_step=on_step,
            )
        )
    answer(found, as_json, lambda _: draw_failure(found))
    if any(result["error"] for result in found["results"]):
        raise typer.Exit(1)


def draw_failure(found: Mapping[str, Any]) -> None:
    """A table per suite and horizon, the best first."""
    tables = dict.fromkeys((result["suite"], result["horizon"]) for result in found["results"])
    for suite, horizon in tables:
        results = [
            row for row in found["results"] if (row["suite"], row["horizon"]) == (suite, horizon)
        ]
        rows = [
            {
                **_flat(row, ("over_logistic", "lead")),
                "between": "{:.2f} – {:.2f}".format(*row["ci"]["average_precision"]),
            }
            for row in results
            if not row["error"]
        ]
        rows.sort(key=lambda row: -(row["average_precision"] or 0.0))
        events = f": {rows[0]['events']} events" if rows else ""
        out.print(bold(f"{suite}, {horizon} periods ahead", events))
        columns = {key: title for key, title in FAILURE.items() if _known(rows, key)}
        table(rows, columns, "nothing was scored")
        for row in results:
            if row["error"]:
                out.print(f"  failed: {row['algorithm']}: {row['error']}")
    for row in found["skipped"]:
        out.print(f"not scored: {row['algorithm']} on {row['suite']}: {row['reason']}")
    out.print(
        "Average precision of knowing nothing is the base rate; caught: events with an alarm before them, lead: "
        "periods from the first such alarm to the event, at the threshold that kept the false alarms to the budget "
        "on earlier data"
    )
