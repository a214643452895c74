"""What to ask a Prometheus and what its answers mean: families of series to PromQL, labels to entities and calls.

Counters are asked for as `rate`, which allows for resets, histograms as `histogram_quantile` of it ("Query functions",
prometheus.io/docs/prometheus/latest/querying/functions). A Prometheus answers itself; of what a file tells,
`data.ingest.exposition` answers the same questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from core.domains import conventions
from core.domains.conventions import COUNTER, GAUGE, HISTOGRAM
from core.errors import InvalidInputError

Labels = Mapping[str, str]

SERVICE_LABELS = ("service", "service_name", "app", "app_kubernetes_io_name")
NODE_LABELS = ("node", "kubernetes_node", "instance")
HOST_LABELS = ("node", "kubernetes_node", "instance")
"""Where something runs; `instance` counts only where a node of that name is measured too."""
POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name")


@dataclass(frozen=True)
class Rule:
    """Series with one of these labels are of this level, the first label that is there names the entity."""

    level: str
    labels: tuple[str, ...]
    only: str = ""


RULES = (
    Rule("pod", POD_LABELS),
    Rule("node", NODE_LABELS, r"node_|machine_|windows_|kube_node_|container_"),
    Rule("service", ("deployment", "statefulset", "daemonset"), r"kube_"),
    Rule("service", (*SERVICE_LABELS, "job")),
    Rule("node", NODE_LABELS),
    Rule("region", ("region",)),
)
"""Read from the top. `only` begins the metric's name where a label alone would mislead: node exporters and the
kubelet carry the labels of their own scrape job too."""
CALLS = (
    ("source_workload", "destination_workload"),
    ("source_service", "destination_service"),
    ("source_app", "destination_app"),
    ("client", "server"),
    ("caller", "callee"),
)
"""Labels of caller and callee, as service meshes and tracing write them."""
NAMESPACE = "namespace"
SPACED = ("pod", "service")
"""Levels whose names are told apart by their namespace."""
ABOUT_OTHERS = re.compile(r"(kube_|container_|kubelet_|node_|machine_)")
"""Metrics whose service label names the exporter, not the pod's own service."""
LEFT_OUT = re.compile(r"ALERTS|scrape_|.*(_info|_created|_timestamp_seconds)$")
"""Constants, stamps and Prometheus' own notes on scraping."""
COUNTED = re.compile(r"node_(netstat|vmstat|snmp)_(?!.*(CurrEstab|nr_))")
"""Kernel counters that the node exporter leaves untyped."""
AVERAGED = ("s", "ms", "share", "percent", "°C", "V", "A", "Hz")
"""Units of which the parts of an entity have a mean, not a sum."""


@dataclass(frozen=True)
class Matcher:
    """A label that is, or is not, of one value; an absent label is empty."""

    label: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        return f"{self.label}{'=' if self.equal else '!='}{_quoted(self.value)}"

    def holds(self, labels: Labels) -> bool:
        """Whether a series is chosen."""
        return (labels.get(self.label, "") == self.value) == self.equal


MATCHING = {
    "container_": (Matcher("container", "", False), Matcher("container", "POD", False)),
    "kube_pod_status_phase": (Matcher("phase", "Running"),),
}
"""Matchers that keep a sum from counting twice, by the beginning of the name; where the label is there at all."""


@dataclass(frozen=True)
class Recipe:
    """A metric made of a counter of another name: what of it counts, and `factor` times its rate."""

    metric: str
    needs: str
    matchers: tuple[Matcher, ...]
    factor: int = 1


RECIPES = (
    Recipe(
        "node_cpu_seconds_total",
        "node_cpu_seconds_total",
        (Matcher("mode", "idle", False), Matcher("mode", "iowait", False)),
    ),
    Recipe(
        "disk_io_time_ms",
        "node_disk_io_time_seconds_total",
        (Matcher("device", "", False),),
        1000,
    ),
    Recipe(
        "network_transmit_bytes",
        "node_network_transmit_bytes_total",
        (Matcher("device", "lo", False),),
    ),
)
"""The expected metrics of the domain that no exporter has under that name or in that unit."""


@dataclass(frozen=True)
class Plan:
    """What to fetch.

    matching  : label matchers put into every selector, e.g. `cluster="eu"`
    include, exclude : whole names of metrics, as regular expressions
    quantiles : of histograms; the first one stands under the histogram's own name
    parts     : label sets up to which a metric is kept in its parts; with more, it is summed
    labels    : level → labels that name its entities, before the usual ones
    calls     : (caller's label, callee's label), before the usual ones
    queries   : metric → PromQL of one's own; {by}, {window} and {more} stand for the labels that name somebody, the
                range of a rate, and `matching`
    window_seconds : range of `rate`; 0 = four scrapes, at least the step
    since_hours : how far back the first fetch goes
    token_env : environment variable that holds a bearer token; the token itself is stored nowhere
    """

    step_seconds: int = 60
    matching: str = ""
    include: str = ".+"
    exclude: str = ""
    quantiles: tuple[float, ...] = (0.95, 0.5, 0.99)
    parts: int = 12
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calls: Sequence[tuple[str, str]] = ()
    queries: Mapping[str, str] = field(default_factory=dict)
    window_seconds: int = 0
    since_hours: float = 24.0
    token_env: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any], levels: Sequence[str]) -> Self:
        """A plan from its JSON; an unknown key, level or value that can't be is refused by name."""
        known = [spec.name for spec in fields(cls)]
        for name in told:
            if name not in known:
                raise InvalidInputError.of(
                    "sources", "the plan", f"made of {', '.join(known)}", name
                )
        made: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        for spec in fields(cls):
            value, usual = made.get(spec.name, spec.default), spec.default
            number = isinstance(usual, int | float) and not isinstance(value, bool)
            kind = (int, float) if isinstance(usual, float) else type(usual)
            if (number or isinstance(usual, str)) and not isinstance(value, kind):
                rule = {int: "a whole number", str: "text"}.get(type(usual), "a number")
                raise InvalidInputError.of("sources", f"the plan's {spec.name}", rule, value)
        plan = cls(**made)
        checks: tuple[tuple[str, bool, str], ...] = (
            ("step_seconds", 1 <= plan.step_seconds <= 86_400, "1 to 86400"),
            ("window_seconds", plan.window_seconds >= 0, "not negative"),
            ("since_hours", 0 < plan.since_hours <= 24 * 400, "above 0, at most 9600"),
            ("parts", plan.parts >= 1, "at least 1"),
            (
                "quantiles",
                bool(plan.quantiles) and all(0 < q < 1 for q in plan.quantiles),
                "between 0 and 1, at least one",
            ),
            ("labels", set(plan.labels) <= {*levels}, f"by level: {', '.join(levels)}"),
            ("token_env", bool(re.fullmatch(r"\w*", plan.token_env)), "the name of a variable"),
        )
        for name, good, rule in checks:
            if not good:
                raise InvalidInputError.of("sources", f"the plan's {name}", rule, told.get(name))
        for name in ("include", "exclude"):
            try:
                re.compile(getattr(plan, name))
            except re.error as error:
                rule = f"a regular expression ({error})"
                raise InvalidInputError.of(
                    "sources", f"the plan's {name}", rule, getattr(plan, name)
                ) from None
        return plan

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One's own labels, then the usual ones."""
        return (*(Rule(level, tuple(names)) for level, names in self.labels.items()), *RULES)

    @property
    def call_labels(self) -> tuple[tuple[str, str], ...]:
        return (*((caller, callee) for caller, callee in self.calls), *CALLS)

    @property
    def own_labels(self) -> frozenset[str]:
        """Every label that may name somebody: no part of a metric."""
        named = {label for rule in self.rules for label in rule.labels}
        called = {label for pair in self.call_labels for label in pair}
        return frozenset(named | called | {"region", NAMESPACE})


@dataclass(frozen=True)
class Question:
    """One query, and the metric that its answer is: an aggregate of the series that match.

    of       : the family it is made of, by which the rules judge
    series   : the name of the series that are asked for, "" in a query of one's own, `text`
    by       : labels by which they are told apart; parts: those kept as parts of the metric's name
    together : what several series of one entity make: their sum, mean or max
    counts   : they only count up: asked for as their rise per second over the window
    quantile : of a histogram's buckets, else None
    """

    metric: str
    nature: str
    of: str
    series: str = ""
    matchers: tuple[Matcher, ...] = ()
    by: tuple[str, ...] = ()
    together: str = "sum"
    parts: tuple[str, ...] = ()
    counts: bool = False
    quantile: float | None = None
    factor: int = 1
    help: str = ""
    text: str = ""

    def query(self, matching: str, window: int) -> str:
        """The same as PromQL; `matching` goes into the selector, `window` is in seconds."""
        told = ",".join(filter(None, (matching, *map(str, self.matchers))))
        if self.text:
            return self.text.format(by=", ".join(self.by), window=f"{window}s", more=told)
        asked = f"{self.series}{{{told}}}"
        asked = f"rate({asked}[{window}s])" if self.counts else asked
        how = "sum" if self.quantile is not None else TOGETHER[self.together]
        asked = f"{how} by ({', '.join(self.by)}) ({asked})"
        if self.quantile is not None:
            asked = f"histogram_quantile({self.quantile}, {asked})"
        return asked if self.factor == 1 else f"{self.factor} * {asked}"


TOGETHER = {"sum": "sum", "mean": "avg", "max": "max"}


@dataclass(frozen=True)
class Kind:
    """What Prometheus says of a metric: counter, gauge, histogram, summary or unknown."""

    type: str = "unknown"
    help: str = ""


def questions(series: Sequence[Labels], kinds: Mapping[str, Kind], plan: Plan) -> list[Question]:
    """What to ask so that every family of the series is answered once."""
    found: dict[str, list[Labels]] = {}
    for labels in series:
        found.setdefault(labels["__name__"], []).append(labels)
    kinds = {**_inferred(found), **kinds}
    asked = [
        Question(
            recipe.metric,
            COUNTER,
            recipe.needs,
            recipe.needs,
            recipe.matchers,
            _by(recipe.needs, found[recipe.needs], plan),
            counts=True,
            factor=recipe.factor,
        )
        for recipe in RECIPES
        if recipe.needs in found
    ]
    asked += [
        Question(metric, GAUGE, "", by=_by("", series, plan), text=query)
        for metric, query in plan.queries.items()
    ]
    told = {question.metric for question in asked}
    for name, sets in sorted(found.items()):
        family = _family(name, sets, kinds, plan)
        asked += [question for question in family if question.metric not in told]
    return asked


def _inferred(found: Mapping[str, Sequence[Labels]]) -> dict[str, Kind]:
    """The kinds that the series themselves tell, for a store that keeps no metadata."""
    kinds = {}
    for name, sets in found.items():
        base = name.removesuffix("_sum")
        if base != name and f"{base}_count" in found:
            kinds[base] = Kind("histogram" if f"{base}_bucket" in found else "summary")
        elif "quantile" in sets[0]:
            kinds[name] = Kind("summary")
    return kinds


def _family(
    name: str, sets: Sequence[Labels], kinds: Mapping[str, Kind], plan: Plan
) -> list[Question]:
    base, type, help = _typed(name, kinds)
    skipped = re.fullmatch(plan.exclude, base) if plan.exclude else None
    if LEFT_OUT.match(name) or skipped or not re.fullmatch(plan.include, base):
        return []
    # a native histogram has no buckets of its own
    if type == HISTOGRAM and (name.endswith("_bucket") or name == base):
        return _quantiles(name, base, sets, plan, help)
    if name.endswith("_sum") and type in (HISTOGRAM, "summary"):
        return []
    matchers = _matchers(name, sets)
    if type == "summary" and name == base:
        shown = sorted({labels["quantile"] for labels in sets if "quantile" in labels})
        return [
            Question(
                f"{base}:p{_percent(float(quantile))}",
                HISTOGRAM,
                base,
                name,
                (*matchers, Matcher("quantile", quantile)),
                _by(base, sets, plan),
                "max",
                help=help,
            )
            for quantile in shown
        ]
    counts = type == COUNTER or name.endswith("_count") or bool(COUNTED.match(name))
    parts = _parts(sets, plan)
    together = "mean" if not counts and conventions.unit(name) in AVERAGED else "sum"
    by = _by(name, sets, plan, parts)
    nature = COUNTER if counts else GAUGE
    return [Question(name, nature, name, name, matchers, by, together, parts, counts, help=help)]


def _typed(name: str, kinds: Mapping[str, Kind]) -> tuple[str, str, str]:
    """The family's name, type and help; the suffixes of a histogram and a summary lead to it."""
    for suffix in ("", "_bucket", "_count", "_sum", "_total"):
        base = name.removesuffix(suffix) if suffix else name
        kind = kinds.get(base)
        if kind is not None and (suffix == "" or base != name):
            return (name if suffix == "_total" else base), kind.type, kind.help
    if name.endswith("_bucket"):
        return name.removesuffix("_bucket"), HISTOGRAM, ""
    return name, COUNTER if name.endswith("_total") else "unknown", ""


def _quantiles(
    name: str, base: str, sets: Sequence[Labels], plan: Plan, help: str
) -> list[Question]:
    le = ("le",) if name != base else ()
    return [
        Question(
            base if place == 0 else f"{base}:p{_percent(quantile)}",
            HISTOGRAM,
            base,
            name,
            _matchers(name, sets),
            _by(base, sets, plan, le),
            "max",
            counts=True,
            quantile=quantile,
            help=help,
        )
        for place, quantile in enumerate(plan.quantiles)
    ]


def _percent(quantile: float) -> str:
    """0.95 → "95", 0.999 → "99_9"."""
    return f"{100 * quantile:.10g}".replace(".", "_")


def _matchers(name: str, sets: Sequence[Labels]) -> tuple[Matcher, ...]:
    return tuple(
        matcher
        for prefix, matchers in MATCHING.items()
        if name.startswith(prefix) and any(labels.get(matchers[0].label) for labels in sets)
        for matcher in matchers
    )


def _by(of: str, sets: Sequence[Labels], plan: Plan, parts: Iterable[str] = ()) -> tuple[str, ...]:
    """The labels to keep: those by which the series are told apart, and the parts."""
    kept = dict.fromkeys(label for labels in sets for label in naming(labels, of, plan))
    return tuple(dict.fromkeys((*kept, *parts)))


def _parts(sets: Sequence[Labels], plan: Plan) -> tuple[str, ...]:
    """The further labels of a family, where they part it into few enough; none else."""
    own = {
        *plan.own_labels,
        "__name__",
        "le",
        "quantile",
        "job",
        "instance",
        "container",
        "uid",
        "id",
    }
    further = tuple(sorted({label for labels in sets for label in labels} - own))
    many = {tuple(labels.get(label, "") for label in further) for labels in sets}
    return further if len(many) <= plan.parts else ()


# ── Labels to entities ───────────────────────────────────────────────────────────────────────────


def entity(labels: Labels, of: str, plan: Plan, fallback: str) -> str:
    """The entity or call that a series of the family `of` belongs to; `fallback` where no label tells."""
    if call := calling(labels, plan):
        return f"{call[0]}→{call[1]}"
    rule, label = _ruled(labels, of, plan)
    return identity(rule.level, labels[label], labels) if rule else fallback


def naming(labels: Labels, of: str, plan: Plan) -> tuple[str, ...]:
    """The labels that `entity` reads of a series."""
    if calling(labels, plan):
        return tuple(label for pair in plan.call_labels for label in pair if labels.get(label))
    rule, label = _ruled(labels, of, plan)
    spaced = rule and rule.level in SPACED and labels.get(NAMESPACE)
    return (label, *([NAMESPACE] if spaced else [])) if rule else ()


def _ruled(labels: Labels, of: str, plan: Plan) -> tuple[Rule | None, str]:
    """The first rule that holds for a series, and the label by which it does."""
    for rule in plan.rules:
        label = next((label for label in rule.labels if labels.get(label)), "")
        if label and (not rule.only or re.match(rule.only, of)):
            return rule, label
    return None, ""


def calling(labels: Labels, plan: Plan) -> tuple[str, str] | None:
    """Caller and callee of a series that tells of a call."""
    for caller, callee in plan.call_labels:
        if labels.get(caller) and labels.get(callee):
            return identity("service", labels[caller], {}), identity("service", labels[callee], {})
    return None


def identity(level: str, name: str, labels: Labels) -> str:
    """`level:name`: a node without its port, pods and services below a namespace that is not the default one."""
    space = labels.get(NAMESPACE, "")
    if level in SPACED and space not in ("", "default"):
        return f"{level}:{space}/{name}"
    return f"{level}:{re.sub(r':[0-9]+$', '', name) if level == 'node' else name}"


def part_name(metric: str, labels: Labels, parts: Sequence[str]) -> str:
    """A metric with its parts: `requests_total{code="200"}`."""
    told = [f"{label}={_quoted(labels[label])}" for label in parts if labels.get(label)]
    return f"{metric}{{{','.join(told)}}}" if told else metric


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _first(labels: Labels, names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


@dataclass(frozen=True)
class Topology:
    """What the labels tell of what runs: component → parent ("" where none), and edges from cause to effect."""

    parents: Mapping[str, str]
    edges: frozenset[tuple[str, str, str]]


def topology(series: Iterable[Labels], plan: Plan) -> Topology:
    """Pods of services, nodes of pods, regions of nodes, and who calls whom, from all series of a time."""
    parents: dict[str, str] = {}
    edges: set[tuple[str, str, str]] = set()
    hosts: set[tuple[str, str]] = set()
    for labels in series:
        name = labels["__name__"]
        if call := calling(labels, plan):
            parents |= {end: parents.get(end, "") for end in call}
            edges.add((call[1], call[0], "calls"))
            continue
        home = "" if LEFT_OUT.match(name) else entity(labels, name, plan, "")
        if not home:
            continue
        parents.setdefault(home, "")
        host = identity("node", _first(labels, HOST_LABELS), labels)
        if home.startswith("pod:"):
            service = _first(labels, (*plan.labels.get("service", ()), *SERVICE_LABELS))
            if service and not ABOUT_OTHERS.match(name):
                parents[home] = identity("service", service, labels)
                parents.setdefault(parents[home], "")
        if not home.startswith(("node:", "region:")):
            hosts.add((host, home))
        if labels.get("region") and home.startswith("node:"):
            parents[home] = f"region:{labels['region']}"
            parents.setdefault(parents[home], "")
    edges |= {(host, home, "part") for host, home in hosts if host in parents}
    return Topology(parents, frozenset(edges))
