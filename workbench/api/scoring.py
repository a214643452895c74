"""`POST /api/score` by itself: no thread waits for a batch, and rows are read and told by compiled code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from workbench.api.body import read
from workbench.context import Context
from workbench.operations import Caller
from workbench.operations.scoring import Score
from workbench.services.scoring import told

MOST_BYTES = 4 << 20
"""A hundred rows of 150 features, with 14 periods before each."""


def build_router(
    context: Callable[[], Context], identify: Callable[[Request], Caller]
) -> APIRouter:
    """The route of `Score`; `identify` says who asks, and looks a token up where there is one."""
    router = APIRouter(tags=[Score.tag])

    @router.api_route(
        Score.path,
        methods=[Score.method],
        summary=(Score.__doc__ or "").strip(),
        operation_id=Score.__name__,
        openapi_extra={"requestBody": _body()},
    )
    async def score(request: Request) -> Response:
        if "authorization" in request.headers:
            caller = await run_in_threadpool(identify, request)
        else:
            caller = identify(request)
        asked = Score.model_validate_json(await read(request, MOST_BYTES))
        scored = await asyncio.wrap_future(asked.begin(context(), caller))
        return Response(to_json(told(asked.rows, scored)), media_type="application/json")

    return router


def _body() -> dict[str, Any]:
    schema = Score.model_json_schema(ref_template="#/components/schemas/{model}")
    rows = schema.pop("$defs")["Row"]
    schema["properties"]["rows"]["items"] = rows
    return {"required": True, "content": {"application/json": {"schema": schema}}}
