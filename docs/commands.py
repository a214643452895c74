"""Write docs/commands.md from the command line itself and the API from its operations.

Settings come from their class. Run it after a change: `.venv/bin/python docs/commands.py`; a test fails while the page is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from workbench.cli import app
from workbench.operations import concrete
from workbench.settings import Settings

PAGE = Path(__file__).with_suffix(".md")
INTRO = """\
# Commands and API

Made from the code by `docs/commands.py`. Every command but `serve` takes `--json` (one JSON object on stdout;
progress, logs and errors go to stderr) and exits 0 when done, 1 when something failed or was refused, 2 on wrong usage. Commands work whether
or not a server runs: they ask the server when it holds the stores and open them themselves when it does not.

Settings come from the environment, read once at the start:
"""


def page() -> str:
    """The whole page as Markdown."""
    told = [INTRO, *_settings(), "", "## Commands", "", *_commands(), "## API", "", *_routes()]
    return "\n".join(told) + "\n"


def _settings() -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for name, spec in Settings.model_fields.items():
        default = f"`{spec.default}`" if spec.default and not spec.default_factory else ""
        yield f"| `HEADWATER_{name.upper()}` | {default} | {spec.description} |"
    yield "| `HEADWATER_TOKEN` | | Bearer token, for a server that wants one |"


def _commands() -> Iterator[str]:
    root = typer.main.get_command(app)
    yield from _walk(root, "headwater")


def _walk(command: Any, name: str) -> Iterator[str]:
    # by what they have, not by class: some releases of typer bring a click of their own
    children = getattr(command, "commands", {})
    for word, child in children.items():
        yield from _walk(child, f"{name} {word}")
    if children:
        return
    yield f"### `{name}`"
    yield ""
    yield (command.help or "").strip()
    yield ""
    for param in command.params:
        if param.param_type_name == "argument":
            yield f"- `{param.name.upper()}` {getattr(param, 'help', '') or ''}".rstrip()
        elif not param.hidden and param.name != "as_json":
            words = " / ".join(f"`{word}`" for word in (*param.opts, *param.secondary_opts))
            default = (
                ""
                if param.default in (None, True, False, "") or param.required
                else f" ({param.default})"
            )
            yield f"- {words} {param.help or ''}{default}".rstrip()
    yield ""


def _routes() -> Iterator[str]:
    yield "The running server describes it under `/api/docs`. Errors have one shape: `ok`, `error`, `hint`, `errors`, `status`, `id`."
    yield ""
    yield "| method | path | what |"
    yield "|---|---|---|"
    for operation in concrete():
        yield f"| {operation.method} | `{operation.path}` | {(operation.__doc__ or '').strip()} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
