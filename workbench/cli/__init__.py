"""The command line: the same operations as the API, plus what only makes sense on this machine.

Answers go to stdout (a table, or one JSON object with `--json`), progress and errors to stderr;
exit 0 = done, 1 = failed or something was refused, 2 = wrong usage.
"""

from __future__ import annotations

import logging
import sys

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from core.errors import HeadwaterError
from workbench.cli import (
    agreement,
    alerts,
    compare,
    data,
    detection,
    drift,
    evaluate,
    experiments,
    incidents,
    jobs,
    labels,
    machine,
    models,
    simulate,
    sources,
)
from workbench.terminal import err

app = typer.Typer(
    help="Headwater traces an anomaly to its source.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for commands in (data.app, detection.app, jobs.app, machine.app):
    app.add_typer(commands)
for name, group in (
    ("batches", data.batches_app),
    ("sources", sources.sources_app),
    ("metrics", sources.metrics_app),
    ("alerts", alerts.alerts_app),
    ("incidents", alerts.incidents_app),
    ("changes", incidents.changes_app),
    ("simulate", simulate.simulate_app),
    ("jobs", jobs.jobs_app),
    ("models", models.models_app),
    ("drift", drift.drift_app),
    ("experiments", experiments.experiments_app),
    ("labels", labels.labels_app),
    ("tokens", machine.tokens_app),
    ("evaluate", evaluate.evaluate_app),
):
    app.add_typer(group, name=name)
models.models_app.command("compare")(compare.models_compare)
for name, command in agreement.COMMANDS.items():
    labels.labels_app.command(name)(command)

SECRETS = ("database_url", "pagerduty_secrets")
"""Settings whose value is never shown, even a refused one."""


def main() -> None:
    """Entry point of `headwater`."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(standalone_mode=True)
    except HeadwaterError as error:
        err.print(error.message, style="bold red", highlight=False)
        if error.hint:
            err.print(f"Hint: {error.hint}", highlight=False)
        sys.exit(1)
    except SettingsError as error:
        err.print(f"headwater: {error}: it must be JSON.", highlight=False)
        sys.exit(2)
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            got = "" if place.split(".")[0] in SECRETS else f" Got {item.get('input')!r}."
            err.print(f"headwater: {place}: {item['msg']}.{got}", highlight=False)
        sys.exit(2)
