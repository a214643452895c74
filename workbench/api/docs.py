"""The page under `/api/docs`, made from the operations: no script, and nothing fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

from workbench.operations import Operation, concrete

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
code { font-size: .9em; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
h3 { margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0; }
table { border-collapse: collapse; margin: .5rem 0; table-layout: fixed; width: 100%; }
th:nth-child(1) { width: 26%; } th:nth-child(2) { width: 24%; } th:nth-child(3) { width: 12%; }
th, td { border-bottom: 1px solid color-mix(in srgb, currentcolor 20%, transparent);
  padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
"""
INTRO = """
<p>The same description for programs: <a href="/api/openapi.json">OpenAPI</a>. Arguments go into the query
of a GET, into the JSON body otherwise; times are UTC. Errors have one shape: <code>ok</code>,
<code>error</code>, <code>hint</code>, <code>errors</code>, <code>status</code>, <code>id</code>. Beyond this
machine every request needs a token: <code>Authorization: Bearer …</code>. Only <code>POST
/api/webhooks/pagerduty</code> needs none: it takes PagerDuty's v3 webhooks, proven by
<code>X-PagerDuty-Signature</code>, once <code>HEADWATER_PAGERDUTY_SECRETS</code> holds a secret.</p>
"""


def page() -> str:
    """Every operation with its arguments, as one HTML page."""
    by_tag = groupby(sorted(concrete(), key=lambda kind: kind.tag), key=lambda kind: kind.tag)
    body = "".join(
        f"<h2>{escape(tag)}</h2>{''.join(_section(kind) for kind in kinds)}"
        for tag, kinds in by_tag
    )
    head = f"<meta charset=utf-8><title>Headwater API</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body><h1>Headwater API</h1>{INTRO}{body}</body></html>"


def _section(kind: type[Operation]) -> str:
    rows = "".join(_rows(kind))
    head = "<tr><th>argument<th>type<th>default<th>what</tr>"
    return (
        f"<section id={kind.__name__}><h3><code>{kind.method} {escape(kind.path)}</code></h3>"
        f"<p>{escape((kind.__doc__ or '').strip())}</p>"
        + (f"<table>{head}{rows}</table>" if rows else "")
        + "</section>"
    )


def _rows(kind: type[Operation]) -> Iterator[str]:
    schema = kind.model_json_schema()
    for name, spec in schema.get("properties", {}).items():
        default = "required" if name in schema.get("required", ()) else spec.get("default")
        told = (_type(spec), _shown(default), spec.get("description", ""))
        cells = (f"<code>{escape(name)}</code>", *map(escape, told))
        yield f"<tr>{''.join(f'<td>{cell}' for cell in cells)}</tr>"


def _type(spec: dict[str, Any]) -> str:
    """`low, medium or critical`, `integer, 1 to 1000`, `date-time`."""
    kind = next((one for one in spec.get("anyOf", ()) if one.get("type") != "null"), spec)
    if "enum" in kind:
        *most, last = map(str, kind["enum"])
        return f"{', '.join(most)} or {last}"
    bounds = [str(kind[side]) for side in ("minimum", "maximum") if side in kind]
    return ", ".join([kind.get("format", kind["type"]), *filter(None, [" to ".join(bounds)])])


def _shown(default: Any) -> str:
    return (
        ""
        if default is None
        else str(default).lower()
        if isinstance(default, bool)
        else str(default)
    )
