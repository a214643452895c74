"""`headwater simulate`: worlds with known truth, as files a user would have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from core.contracts import OnStep
from workbench.terminal import Json, answer, facts, progress

simulate_app = typer.Typer(
    help="Worlds with known truth, as files a user would have.", no_args_is_help=True
)


@simulate_app.command("ads")
def simulate_ads(
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder to write; must be empty or absent")
    ],
    size: Annotated[str, typer.Option(help="S, M, L or XL")] = "S",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes")] = 7,
    world: Annotated[str, typer.Option(help="A, B or C")] = "A",
    as_json: Json = False,
) -> None:
    """Write an ads account as Amazon's report files, plus truth/."""
    from data.simulate.ads import simulate_ads as simulate

    with progress("Simulating") as on_step:
        summary = simulate(out_dir, size=size, seed=seed, world=world, on_step=_two(on_step))
    answer(summary, as_json, facts)


@simulate_app.command("services")
def simulate_services(
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder to write; must be empty or absent")
    ],
    size: Annotated[str, typer.Option(help="S, M, L or XL")] = "S",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes")] = 7,
    form: Annotated[str, typer.Option(help="Of the metrics: parquet or csv")] = "parquet",
    as_json: Json = False,
) -> None:
    """Write running systems with their metrics, events, incidents and labels, plus truth/ and suite/."""
    from data.simulate.services import simulate_services as simulate

    with progress("Simulating") as on_step:
        summary = simulate(out_dir, size=size, seed=seed, form=form, on_step=_two(on_step))
    answer(summary, as_json, facts)


@simulate_app.command("eventlog")
def simulate_eventlog(
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder to write; must be empty or absent")
    ],
    size: Annotated[str, typer.Option(help="S, M, L or XL")] = "S",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes")] = 7,
    as_json: Json = False,
) -> None:
    """Write the event log of a buying process as a CSV file, plus truth/."""
    from data.simulate.eventlog import simulate_eventlog as simulate

    with progress("Simulating") as on_step:
        summary = simulate(out_dir, size=size, seed=seed, on_step=_two(on_step))
    answer(summary, as_json, facts)


def _two(on_step: OnStep) -> Callable[[str, float], None]:
    return lambda stage, share: on_step(stage, share, {}) and None
