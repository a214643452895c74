"""The one server process: API routes first, Streamlit mounted at `/`, scheduler in the lifespan."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from core.errors import NotFoundError, StoreError
from workbench import __version__, runner, scheduler
from workbench.api import docs
from workbench.api.app import add_errors, build_router
from workbench.context import Context, announce, current, shared
from workbench.settings import Settings

APP_SCRIPT = Path(__file__).with_name("app.py")
COLLECTED = 50_000
"""New objects, net, after which Python looks for cycles; at its own 700 one large request makes it look several times."""


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
                stack.enter_context(scheduler.running(context))
                stack.enter_context(runner.running(context))
            if streamlit_app is not None:
                await stack.enter_async_context(streamlit_app.lifespan()(app))
                # Streamlit turns uvicorn's talk on again when it starts
                logging.getLogger("uvicorn.access").disabled = True
                logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
            yield

    app = FastAPI(
        title="Headwater",
        version=__version__,
        description="Detect anomalies, explain them, trace them to their source.",
        docs_url=None,  # FastAPI's own page loads its script from a foreign server
        openapi_url="/api/openapi.json",
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(build_router(lambda: opened[0]))
    add_errors(app)

    @app.get("/api", include_in_schema=False, response_class=HTMLResponse)
    @app.get("/api/docs", include_in_schema=False, response_class=HTMLResponse)
    def described() -> str:
        return docs.page()

    # every method, or Streamlit would answer for those that no route has
    @app.api_route(
        "/api/{path:path}",
        include_in_schema=False,
        methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
    )
    def no_such_route(path: str, request: Request) -> None:
        asked = f"{request.method} /api/{path}"
        raise NotFoundError.of("API", "the path", "one of those in /api/docs", asked)

    if streamlit_app is not None:
        app.mount("/", streamlit_app)
    return app


def bind(settings: Settings) -> socket.socket:
    """The port, taken for this process; StoreError when it can not be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise StoreError.of(
            "headwater",
            "the address",
            "free to listen on",
            f"{settings.host}:{settings.port}",
            f"{os.strerror(error.errno or 0)}. Choose another port with --port or HEADWATER_PORT.",
        ) from None


def serve(
    settings: Settings,
    *,
    on_start: Callable[[], None],
    open_browser: bool = False,
    afterwards: Callable[[Context], None] | None = None,
) -> None:
    """Serve until interrupted.

    `on_start` is called once home and port are this process's own; with `open_browser`, the first page is shown
    once the server answers, and `afterwards` is called then, beside it.
    """
    with announce(settings), bind(settings) as door:
        config = uvicorn.Config(
            build(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=5
        )
        with settled():
            on_start()
            if open_browser or afterwards:
                told = (settings.address, open_browser, afterwards)
                threading.Thread(target=_once_healthy, args=told, daemon=True).start()
            uvicorn.Server(config).run(sockets=[door])


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Let Python's search for cycles pass over what is imported by now: it holds every request up for a second."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()  # what is frozen at the exit is not freed, and DuckDB reports it as leaked


def _once_healthy(
    address: str,
    open_browser: bool,
    afterwards: Callable[[Context], None] | None,
    patience: float = 60.0,
) -> None:
    """Open the browser of whoever has one as soon as the server is healthy, then do the rest."""
    deadline = time.monotonic() + patience
    with httpx2.Client(timeout=2.0) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                if client.get(f"{address}/api/health").is_success:
                    break
            threading.Event().wait(0.2)
        else:
            return
    if open_browser:
        webbrowser.open(address)
    if afterwards is not None:
        afterwards(current())


def _streamlit_app():  # type: ignore[no-untyped-def]
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.starlette import App

    # Otherwise a first request to a page URL may run that page without the frame around it.
    PagesManager.uses_pages_directory = False
    return App(APP_SCRIPT)
