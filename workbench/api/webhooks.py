"""Deliveries that prove who sent them by a signature over their raw bytes; no token, and never open without a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from workbench.api.body import read
from workbench.context import Context
from workbench.plain import plain
from workbench.services import pagerduty

MOST_BYTES = 1 << 20
"""PagerDuty drops a webhook of more than 256 KB itself."""
PAGERDUTY = "/api/webhooks/pagerduty"


def build_router(context: Callable[[], Context]) -> APIRouter:
    """The webhooks as routes; `context` gives the open stores when a delivery comes."""
    router = APIRouter(tags=["webhooks"])

    @router.post(PAGERDUTY, summary="Take in an event of PagerDuty's v3 webhooks.")
    async def receive(request: Request) -> Any:
        body = await read(request, MOST_BYTES)
        signature = request.headers.get("x-pagerduty-signature", "")
        return plain(await run_in_threadpool(pagerduty.receive, context(), body, signature))

    return router
