"""The REST API: one route per operation, one error shape, a token where the server is not on loopback."""

from __future__ import annotations

import inspect
import ipaddress
import logging
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from core.errors import (
    BusyError,
    ConflictError,
    HeadwaterError,
    InvalidInputError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
    UnknownNameError,
)
from workbench.api import scoring, webhooks
from workbench.context import Context
from workbench.operations import TENANT_HEADER, USER_HEADER, Caller, Operation, concrete
from workbench.operations.scoring import Score
from workbench.services import tokens

log = logging.getLogger(__name__)

STATUS = (
    (NotFoundError, 404),
    (PermissionDeniedError, 403),
    (ConflictError, 409),
    (BusyError, 429),
    (MissingExtraError, 424),
    (UnknownNameError, 422),
    (InvalidInputError, 422),
    (HeadwaterError, 503),
)

HUNG_UP = 499
"""What nginx calls a request whose client went away."""


def build_router(context: Callable[[], Context]) -> APIRouter:
    """Every operation and webhook as a route; `context` gives the open stores when a request comes."""
    router = APIRouter()
    caller = _caller(context)
    router.include_router(scoring.build_router(context, caller))
    for kind in concrete():
        if kind is Score:  # answered above, without a thread of its own
            continue
        router.add_api_route(
            kind.path,
            _endpoint(kind, context, caller),
            methods=[kind.method],
            tags=[kind.tag],
            summary=(kind.__doc__ or "").strip(),
            operation_id=kind.__name__,
        )
    router.include_router(webhooks.build_router(context))
    return router


def add_errors(app: FastAPI) -> None:
    """Give every failure the one shape {ok, error, hint, errors, status, id}."""

    @app.exception_handler(HeadwaterError)
    async def known(_: Request, error: HeadwaterError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        headers = {"retry-after": "1"} if isinstance(error, BusyError) else None
        return _failure(status, error.message, error.hint, headers=headers)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        details = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}. Got {item.get('input')!r}."
            for item in error.errors()
        ]
        return _failure(422, details[0], "See /api/docs for the arguments.", details)

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return _failure(error.status_code, str(error.detail), "", headers=error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _: ClientDisconnect) -> Response:
        log.info("Whoever asked %s hung up before it was read", request.url.path)
        return Response(status_code=HUNG_UP)  # nobody reads it

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        failure = _failure(
            500, "The server failed on this request.", "The log has the trace under this id."
        )
        log.error(
            "Request %s failed (%s)",
            request.url.path,
            failure.headers["x-error-id"],
            exc_info=error,
        )
        return failure


def _failure(
    status: int, error: str, hint: str, errors: list[str] | None = None, headers: Any = None
) -> JSONResponse:
    identity = secrets.token_hex(4)
    body = {
        "ok": False,
        "error": error,
        "hint": hint,
        "errors": errors or [error],
        "status": status,
        "id": identity,
    }
    return JSONResponse(body, status, headers={**(headers or {}), "x-error-id": identity})


def _endpoint(
    kind: type[Operation], context: Callable[[], Context], caller: Callable[..., Caller]
) -> Callable[..., Any]:
    async def endpoint(**arguments: Any) -> Any:
        who = arguments.pop("caller")
        await _refuse_unknown(kind, arguments.pop("request"))
        operation = kind(**arguments)
        return await run_in_threadpool(operation.answer, context(), who)

    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=spec.annotation,
            default=_source(kind, name),
        )
        for name, spec in kind.model_fields.items()
    ]
    depends = Depends(_anybody if kind.open_to_all else caller)
    parameters.append(
        inspect.Parameter(
            "caller", inspect.Parameter.KEYWORD_ONLY, annotation=Caller, default=depends
        )
    )
    parameters.append(
        inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    )
    endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    endpoint.__name__ = kind.__name__
    return endpoint


async def _refuse_unknown(kind: type[Operation], request: Request) -> None:
    """A misspelt argument must not be taken for an absent one."""
    given = [*request.query_params, *(await request.json() if await request.body() else ())]
    known = [name for name in kind.model_fields if f"{{{name}}}" not in kind.path]
    for name in given:
        if name not in known:
            rule = f"one of {', '.join(known)}" if known else "left out: there are none"
            raise UnknownNameError.of("API", "an argument", rule, name)


def _source(kind: type[Operation], name: str) -> Any:
    """Where FastAPI finds a field: in the path, the query or the JSON body."""
    spec = kind.model_fields[name]
    if f"{{{name}}}" in kind.path:
        return Path(description=spec.description)
    default = ... if spec.is_required() else spec.default
    if kind.method == "GET":
        return Query(default, description=spec.description)
    return Body(default, embed=True, description=spec.description)


def _anybody() -> Caller:
    return Caller(tenant="", actor="", local=False)


def _caller(context: Callable[[], Context]) -> Callable[..., Caller]:
    def identify(request: Request) -> Caller:
        """The bearer token's owner; on a loopback server without one, the local user or whom they name."""
        ctx = context()
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        local = request.client is not None and _is_loopback(request.client.host)
        tenant = unquote(request.headers.get(TENANT_HEADER, ""))
        if scheme.lower() == "bearer":
            owner = tokens.verify(ctx, secret)
            if tenant not in ("", owner.tenant):
                rule = f"the token's own, {owner.tenant}"
                raise PermissionDeniedError.of("API", "the tenant", rule, tenant)
            return Caller(tenant=owner.tenant, actor=owner.user, local=local)
        if ctx.settings.on_loopback:
            settings = ctx.settings
            actor = unquote(request.headers.get(USER_HEADER, "")) or settings.user
            return Caller(tenant=tenant or settings.tenant, actor=actor, local=local)
        raise HTTPException(
            401,
            "API: the request must be sent with a bearer token. Got none.",
            {"www-authenticate": "Bearer"},
        )

    return identify


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
