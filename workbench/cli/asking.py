"""What every command needs: the options that mean the same everywhere, and asking in process or through the server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import typer

from workbench import client
from workbench.operations.models import Models
from workbench.operations.operation import Operation, instant
from workbench.settings import Settings
from workbench.terminal import progress

Tenant = Annotated[str | None, typer.Option(help="Tenant; the configured one when absent")]
DomainName = Annotated[str, typer.Option(help="ads or services", envvar="HEADWATER_DOMAIN")]
Identity = Annotated[int, typer.Argument(help="Its number")]
Note = Annotated[str, typer.Option(help="Kept as a comment")]


def ask(operation: Operation, tenant: str | None = None, title: str = "Working") -> Any:
    """Ask in process or through the server, with a progress bar."""
    with progress(title) as on_step:
        return client.ask(operation, Settings(), tenant=tenant, on_step=on_step)


def whole(part: str, ids: Iterable[str]) -> str:
    """The id that begins or ends so, where only one does; else what was given."""
    matching = [one for one in ids if one.startswith(part) or one.endswith(part)]
    return matching[0] if len(matching) == 1 else part


def version(part: str, tenant: str | None) -> str:
    """The version whose id begins so, or ends so as the pages tell it; "" stays what it is."""
    found = ask(Models(), tenant)["models"] if part else ()
    return whole(part, (row["id"] for row in found))


def moment(text: str | None) -> datetime | None:
    """A day or time of an option, as a UTC instant."""
    try:
        return instant(text)
    except ValueError:
        rule = "must be a day or a time such as 2026-03-10 or 2026-03-10T06:00"
        raise typer.BadParameter(f"{rule}. Got {text!r}.") from None
