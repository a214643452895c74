"""From rows of text to a batch: check the cells, find the entities and edges, keep the figures.

Every format brings its rows as a table `raw` of text columns under the names below, plus `row`, the
1-based number of the row in the file. From there all formats go the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from tempfile import gettempdir

import duckdb
import pyarrow as pa

from core.domain import Domain
from data.duck import Cursor, literal, one, rows, statements
from data.ingest.batch import EDGES, ENTITIES, Batch, Difference, observations_schema
from data.ingest.quarantine import PLAIN, Check, Style, checks, refuse


@dataclass(frozen=True)
class Node:
    """A level's entity inside a row: SQL over the columns of `raw`, and the columns it needs.

    parents    : levels of its parents, one slot each; a search term has none: it is evidence, no node
    mentions   : columns used where the file has them
    settings   : setting of the domain → column, where a row of this level reports it
    attributes : columns kept as JSON
    """

    level: str
    id: str
    needs: tuple[str, ...]
    name: str = "NULL"
    status: str = "NULL"
    parents: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    currency: str = "NULL"
    mentions: tuple[str, ...] = ()


ADS_NODES = (
    Node("profile", "profile", ("profile",), currency="currency", mentions=("currency",)),
    Node(
        "portfolio",
        "portfolio_id",
        ("portfolio_id",),
        "portfolio_name",
        mentions=("portfolio_name",),
    ),
    Node(
        "campaign",
        "campaign_id",
        ("campaign_id",),
        "campaign_name",
        "campaign_status",
        parents=("portfolio",),
        settings={
            "budget": "budget",
            "status": "campaign_status",
            "top_of_search": "top_of_search",
        },
        mentions=("campaign_name", "campaign_status"),
    ),
    Node(
        "ad_group",
        "ad_group_id",
        ("ad_group_id",),
        "ad_group_name",
        "ad_group_status",
        parents=("campaign",),
        settings={"status": "ad_group_status"},
        mentions=("ad_group_name", "ad_group_status"),
    ),
    Node(
        "keyword",
        "keyword_id",
        ("keyword_id",),
        "coalesce(keyword, targeting)",
        "coalesce(keyword_status, campaign_status)",
        parents=("ad_group",),
        attributes=("match_type", "keyword_type"),
        settings={"bid": "bid", "status": "keyword_status"},
        mentions=("keyword", "targeting", "keyword_status", "campaign_status"),
    ),
    Node("asin", "profile || '/' || asin", ("asin",), "asin"),
    Node(
        "ad",
        "coalesce(ad_id, ad_group_id || '/' || asin)",
        ("asin", "ad_group_id"),
        "asin",
        "campaign_status",
        parents=("ad_group", "asin"),
        attributes=("sku",),
        mentions=("ad_id", "campaign_status"),
    ),
    Node(
        "search_term",
        "keyword_id || '/' || search_term",
        ("keyword_id", "search_term"),
        "search_term",
    ),
)

ADS_KINDS = {
    "day": "day",
    "campaign_id": "id",
    "portfolio_id": "optional id",
    "ad_group_id": "id",
    "keyword_id": "id",
    "ad_id": "id",
    "asin": "id",
    "search_term": "required",
    "campaign_status": "status",
    "ad_group_status": "status",
    "keyword_status": "status",
    "budget": "money",
    "bid": "money",
    "top_of_search": "number",
}
STATUS = (
    "CASE upper({x}) WHEN 'ENABLED' THEN 1.0 WHEN 'PAUSED' THEN 0.0 WHEN 'ARCHIVED' THEN -1.0 END"
)
# Legal, but worth a word: clicks may follow impressions of the day before, vCPM pays without clicks.
FLAGS = (
    ("spend but no clicks", ("cost", "clicks"), "{cost} > 0 AND {clicks} = 0"),
    ("more clicks than impressions", ("clicks", "impressions"), "{clicks} > {impressions}"),
)


@dataclass(frozen=True)
class Facts:
    """A file whose rows lie in `raw`.

    headers  : column of `raw` → header in the file
    nodes    : entities that a row names, top first; `level` : the one it measures
    kinds    : column → kind of rule
    ratios   : column → (ratio of the domain, {its metric: metric of the file})
    entity   : SQL of a row's whole entity id, where it is not `level` and that node's id
    owner    : SQL of a row's whole top-level id
    summed   : also sum the rows into this level (a file that lists every part), where `chosen` holds
    extra    : checks beyond those of the kinds
    merged   : several rows make up one entity's day; the last of each figure counts
    """

    file: str
    sha256: str
    size: int
    format: str
    report: str
    level: str
    as_of: datetime
    headers: Mapping[str, str]
    nodes: tuple[Node, ...] = ADS_NODES
    kinds: Mapping[str, str] = field(default_factory=lambda: ADS_KINDS)
    ratios: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    entity: str = ""
    owner: str = "'profile:' || profile"
    style: Style = PLAIN
    span: tuple[date, date] | None = None
    summed: str = ""
    chosen: str = "true"
    extra: tuple[Check, ...] = ()
    merged: bool = False
    notes: tuple[str, ...] = ()


@contextmanager
def workspace() -> Iterator[Cursor]:
    """A scratch database for reading files."""
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET temp_directory = ?", [str(Path(gettempdir()) / "headwater-import")])
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute(statements("ingest")["macros"])
        yield connection
    finally:
        connection.close()


def selection(
    columns: Mapping[str, str], nodes: tuple[Node, ...], constants: Mapping[str, str]
) -> str:
    """The select list of `raw`: column → SQL, constant → text; what nodes mention else is NULL."""
    mentioned = {name for node in nodes for name in (*node.attributes, *node.mentions)}
    missing = sorted(mentioned - {*columns, *constants})
    parts = [f"{sql} AS {name}" for name, sql in columns.items()]
    parts += [f"{literal(text)} AS {name}" for name, text in constants.items()]
    parts += [f"NULL::VARCHAR AS {name}" for name in missing]
    return "".join(f", {part}" for part in parts)


def assemble(cursor: Cursor, domain: Domain, facts: Facts) -> Batch:
    """The batch of the rows in `raw`."""
    sql = statements("ingest")
    metrics = {m.name: m.unit for m in domain.metrics if m.name in facts.headers}
    kinds = {name: kind for name, kind in facts.kinds.items() if name in facts.headers}
    kinds |= {name: "money" if unit == "money" else "count" for name, unit in metrics.items()}
    made = [*checks(kinds, facts.style, facts.as_of.date()), *facts.extra]
    refused, failed, count = refuse(cursor, facts.file, made, facts.headers)
    present = {"profile", *facts.headers}
    nodes = {node.level: node for node in facts.nodes if {*node.needs} <= present}
    entity = facts.entity or f"'{facts.level}:' || {nodes[facts.level].id}"
    usable = " AND ".join(f"NOT ({check.bad})" for check in failed) or "true"
    cursor.execute(sql["good"].format(leaf=entity, usable=usable))
    cursor.execute(sql["leaves"])
    cursor.execute(
        sql["nodes"].format(nodes=" UNION ALL ".join(_node(n, facts) for n in nodes.values()))
    )
    number = facts.style.number
    values = {name: f"{number}({name})" for name in metrics}
    settings = {
        name: STATUS.format(x=column) if kinds.get(column) == "status" else f"{number}({column})"
        for node in nodes.values()
        if node.level == facts.level
        for name, column in node.settings.items()
        if name in domain.settings and column in facts.headers
    }
    cells = values | settings
    if facts.merged:
        cells = {name: f"arg_max({cell}, g.row)" for name, cell in cells.items()}
    figures = sql["merged" if facts.merged else "observations"].format(
        day=f"{facts.style.day}(day)", values=_columns(cells), entity="g.leaf"
    )
    observations = _table(cursor, figures, observations_schema((*values, *settings)))
    if facts.summed:
        sums = sql["sums"].format(
            day=f"{facts.style.day}(day)",
            values=_columns({name: f"sum({value})" for name, value in values.items()}),
            entity=f"'{facts.summed}:' || {nodes[facts.summed].id}",
            chosen=facts.chosen,
        )
        part = _table(cursor, sums, observations_schema(tuple(values)))
        observations = pa.concat_tables([observations, part], promote_options="default")
    kept = one(cursor, sql["kept"]) if failed else count
    return Batch(
        file=facts.file,
        sha256=facts.sha256,
        size=facts.size,
        format=facts.format,
        as_of=facts.as_of,
        report=facts.report,
        rows=count,
        span=facts.span,
        entities=_table(cursor, sql["entities"], ENTITIES),
        edges=_edges(cursor, nodes, facts),
        observations=observations,
        refused=tuple(refused),
        refused_rows=count - kept,
        differences=tuple(_differences(cursor, domain, facts, values)),
        notes=(*facts.notes, *_flags(cursor, values)),
    )


def _columns(expressions: Mapping[str, str]) -> str:
    return "".join(f", {expression} AS {name}" for name, expression in expressions.items())


def _table(cursor: Cursor, sql: str, schema: pa.Schema) -> pa.Table:
    return cursor.sql(sql).to_arrow_table().cast(schema)


def _node(node: Node, facts: Facts) -> str:
    kept = ", ".join(f"'{name}', {name}" for name in node.attributes)
    return statements("ingest")["node"].format(
        level=node.level,
        id=node.id,
        owner=facts.owner,
        name=node.name,
        status=node.status,
        currency=node.currency,
        attributes=f"json_object({kept})::VARCHAR" if kept else "NULL::VARCHAR",
    )


def _edges(cursor: Cursor, nodes: Mapping[str, Node], facts: Facts) -> pa.Table:
    sql = statements("ingest")
    parts = [
        sql["edge"].format(
            child_level=node.level,
            child=node.id,
            slot=slot,
            parent=nodes[slot].id,
            owner=facts.owner,
        )
        for node in nodes.values()
        for slot in node.parents
        if slot in nodes
    ]
    if not parts:
        return EDGES.empty_table()
    return _table(cursor, sql["edges"].format(edges=" UNION ALL ".join(parts)), EDGES)


def _differences(
    cursor: Cursor, domain: Domain, facts: Facts, values: Mapping[str, str]
) -> Iterator[Difference]:
    declared = {ratio.name: ratio for ratio in domain.ratios}
    for column, (name, instead) in facts.ratios.items():
        ratio = declared[name]
        above, below = (instead.get(part, part) for part in (ratio.numerator, ratio.denominator))
        if column not in facts.headers or not {above, below} <= values.keys():
            continue
        sql = statements("ingest")
        cursor.execute(
            sql["compared"].format(
                file=f"{facts.style.number}({column})",
                text=column,
                numerator=values[above],
                denominator=values[below],
            )
        )
        rounding = rows(cursor, sql["rounding"])
        if not rounding or rounding[0]["half"] is None:
            continue
        scale = {"half": rounding[0]["half"], "scale": 100.0 if rounding[0]["percent"] else 1.0}
        found = rows(cursor, sql["ratio"], **scale)[0]
        if found["different"] or found["zero_denominator"]:
            examples = rows(cursor, sql["ratio_examples"], **scale) if found["different"] else []
            yield Difference(
                column=facts.headers[column],
                ratio=name,
                examples=tuple((e["row"], e["shown"], e["made"]) for e in examples),
                **found,
            )


def _flags(cursor: Cursor, values: Mapping[str, str]) -> Iterator[str]:
    for words, needs, condition in FLAGS:
        if {*needs} <= values.keys():
            sql = statements("ingest")["flag"].format(condition=condition.format(**values))
            if count := one(cursor, sql):
                yield f"{count:,} rows have {words}"
