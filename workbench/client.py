"""Ask an operation wherever the stores are: through the API when a server holds them, else in process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from core.contracts import OnStep
from core.errors import HeadwaterError, StoreError
from workbench.context import Context, open_context, server_address
from workbench.operations import TENANT_HEADER, USER_HEADER, Caller, Operation
from workbench.settings import Settings

TIMEOUT_SECONDS = 3600.0  # a first detection trains; the server answers when it is done


class Refused(HeadwaterError):
    """The server answered with an error; message and hint are the server's."""


@contextmanager
def local_context(settings: Settings) -> Iterator[Context]:
    """The stores opened in this process, closed again at the end."""
    context = open_context(settings)
    try:
        yield context
    finally:
        context.close()


def ask(
    operation: Operation,
    settings: Settings,
    *,
    tenant: str | None = None,
    on_step: OnStep | None = None,
) -> Any:
    """The operation's plain answer."""
    address = server_address(settings)
    if address:
        return _ask_server(operation, address, _headers(settings, tenant))
    caller = Caller(tenant or settings.tenant, settings.user)
    with local_context(settings) as context:
        return operation.answer(context, caller, on_step)


def _headers(settings: Settings, tenant: str | None) -> dict[str, str]:
    """Who asks for whom: a token says it by itself."""
    token = os.environ.get("HEADWATER_TOKEN")
    if token:
        asked = {} if tenant is None else {TENANT_HEADER: quote(tenant)}
        return {"authorization": f"Bearer {token}"} | asked
    return {TENANT_HEADER: quote(tenant or settings.tenant), USER_HEADER: quote(settings.user)}


def _ask_server(operation: Operation, address: str, headers: dict[str, str]) -> Any:
    import httpx2  # a command that asks no server is quicker without it

    arguments = operation.model_dump(mode="json", exclude_none=True)
    path = re.sub(r"{(\w+)}", lambda field: str(arguments.pop(field.group(1))), operation.path)
    payload = {"params": arguments} if operation.method == "GET" else {"json": arguments}
    try:
        answer = httpx2.request(
            operation.method, address + path, headers=headers, timeout=TIMEOUT_SECONDS, **payload
        )
    except httpx2.HTTPError as error:
        raise StoreError.of(
            "headwater",
            "the server that holds the stores",
            "reachable",
            f"{address}: {error}",
            "Start it again with `headwater serve`, or stop the process that holds the lock.",
        ) from error
    body = answer.json()
    if answer.is_error:
        raise Refused(body["error"], hint=body["hint"], status=answer.status_code)
    return body
