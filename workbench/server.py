"""The one server process: API routes first, Streamlit mounted at `/`, scheduler in the lifespan."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from workbench import __version__, scheduler
from workbench.api.app import add_errors, build_router
from workbench.context import Context, announce, shared
from workbench.settings import Settings

APP_SCRIPT = Path(__file__).with_name("app.py")


def build(settings: Settings, *, pages: bool = True, chores: bool = True) -> FastAPI:
    """The ASGI application; `pages=False` leaves Streamlit out, for tests of the API."""
    opened: list[Context] = []
    streamlit_app = _streamlit_app() if pages else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            context = stack.enter_context(shared(settings))
            opened.append(context)
            stack.callback(opened.clear)
            if chores:
                running = scheduler.start(context)
                stack.callback(running.shutdown, wait=True)
            if streamlit_app is not None:
                await stack.enter_async_context(streamlit_app.lifespan()(app))
            yield

    app = FastAPI(
        title="Headwater",
        version=__version__,
        description="Detect anomalies, explain them, trace them to their source.",
        docs_url="/api/docs",
        openapi_url="/api/openapi.json",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(build_router(lambda: opened[0]))
    add_errors(app)

    @app.api_route("/api/{path:path}", include_in_schema=False, methods=["GET", "POST", "PATCH"])
    async def no_such_route(path: str) -> JSONResponse:
        body = {
            "ok": False,
            "error": f"API: the path must be one of those in /api/docs. Got {'/api/' + path!r}.",
            "hint": "",
            "errors": [],
            "status": 404,
            "id": "",
        }
        return JSONResponse(body, 404)

    if streamlit_app is not None:
        app.mount("/", streamlit_app)
    return app


def serve(settings: Settings) -> None:
    """Serve until interrupted."""
    with announce(settings):
        uvicorn.run(
            build(settings),
            host=settings.host,
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )


def _streamlit_app():  # type: ignore[no-untyped-def]
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.starlette import App

    # Otherwise a first request to a page URL may run that page without the frame around it.
    PagesManager.uses_pages_directory = False
    return App(APP_SCRIPT)
