"""What a metric's name tells where nobody declares it: its unit, its nature and which direction hurts.

The unit is the suffix that Prometheus asks for ("Metric and label naming", prometheus.io/docs/practices/naming);
the direction is read from the words of the name. A guess: whoever knows better declares it.
"""

from __future__ import annotations

import re

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
NATURES = (GAUGE, COUNTER, HISTOGRAM)
"""A level as it stands; a rate per second of what only counts up; a quantile of a distribution."""

UNITS = {
    "seconds": "s",
    "milliseconds": "ms",
    "ms": "ms",
    "bytes": "bytes",
    "bits": "bits",
    "ratio": "share",
    "share": "share",
    "percent": "percent",
    "percentage": "percent",
    "celsius": "°C",
    "volts": "V",
    "amperes": "A",
    "watts": "W",
    "joules": "J",
    "hertz": "Hz",
    "meters": "m",
    "requests": "requests",
    "pods": "pods",
}
RATES = {"s": "share", "requests": "1/s", "": "1/s", "J": "W"}
"""The unit of a counter's rate; seconds counted per second are a share of the time."""

# Read from the left, the first word that is known decides: "available" hurts when it falls, whatever else is said.
DIRECTIONS = (
    (-1, ("available", "avail", "free", "idle", "up", "ready", "healthy", "success", "succeeded")),
    (-1, ("availability", "compliance", "uptime", "hits", "replicas", "signup", "revenue")),
    (1, ("error", "errors", "errs", "fail", "failed", "failure", "failures", "exception")),
    (1, ("exceptions", "panic", "panics", "drop", "dropped", "drops", "lost", "loss", "discarded")),
    (
        1,
        (
            "timeout",
            "timeouts",
            "retry",
            "retries",
            "retransmits",
            "retrans",
            "rejected",
            "evicted",
        ),
    ),
    (
        1,
        (
            "restarts",
            "restart",
            "oom",
            "throttled",
            "conflicts",
            "collisions",
            "corrupted",
            "misses",
        ),
    ),
    (1, ("latency", "duration", "delay", "lag", "wait", "waiting", "queue", "queued", "pending")),
    (1, ("backlog", "saturation", "pressure", "stalled", "blocked", "load1", "load5", "load15")),
    (1, ("cpu", "usage", "used", "utilization", "utilisation", "resident", "heap", "swap")),
)
_WORD_BAD = {word: bad for bad, words in DIRECTIONS for word in words}
_SERVER_ERROR = re.compile(r"5(\d\d|xx)$", re.IGNORECASE)
_ORDER = {word: place for place, (_, words) in enumerate(DIRECTIONS) for word in words}
_COUNTED = {word: place for word, place in _ORDER.items() if place < len(DIRECTIONS) - 3}
_FAULTS = {word: place for word, place in _COUNTED.items() if place >= 2}
"""The only words that tell anything in a sentence, where "up" and "free" may mean all sorts of things."""

IN_BRACKETS = {"%": "percent", "s": "s", "ms": "ms", "b": "bytes", "bytes": "bytes", "mi": "MiB"}
_BRACKETS = re.compile(r"\(([^()]*)\)$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_QUANTILE = re.compile(r":p([0-9_]+)$")
_SUFFIX = re.compile(r"_(total|count|sum|bucket)$")


def family(name: str) -> str:
    """The metric that a name is a part of: without its labels and its quantile."""
    return _QUANTILE.sub("", name.partition("{")[0])


def part(name: str) -> str:
    """Which part of its family a name is, "" for the whole: the values of its labels, then its quantile."""
    labels = name.partition("{")[2]
    quantile = _QUANTILE.search(name)
    told = re.findall(r'="((?:[^"\\\\]|\\\\.)*)"', labels)
    return ", ".join([*told, *([f"p{quantile[1]}"] if quantile else [])])


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, labels and quantile left out."""
    apart = _CAMEL.sub("_", name.partition("{")[0])
    return tuple(word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word)


def unit(name: str, nature: str = GAUGE) -> str:
    """The unit of a metric's values as stored, "" where its name does not tell."""
    if bracketed := _BRACKETS.search(name):
        return IN_BRACKETS.get(bracketed[1].lower(), bracketed[1])
    said = words(_SUFFIX.sub("", family(name)))
    # of `_count` it is how many were measured, not what
    counted = family(name).endswith("_count")
    found = UNITS.get(said[-1], "") if said and not counted else ""
    return RATES.get(found, f"{found}/s") if nature == COUNTER else found


def bad(name: str, help: str = "") -> int:
    """The direction that hurts: 1 rise, −1 fall, 0 where neither the name nor the help tells."""
    which = part(name)
    if _SERVER_ERROR.match(which):
        return 1
    # how often something was measured does not hurt as what was measured does
    named = _COUNTED if family(name).endswith("_count") else _ORDER
    for text, known in ((which, named), (name, named), (help, _FAULTS)):
        said = [word for word in words(text) if word in known]
        if said:
            return _WORD_BAD[min(said, key=known.__getitem__)]
    return 0


def label(name: str) -> str:
    """The name as a person would say it, with its part in brackets and its unit left out."""
    told = _BRACKETS.sub("", family(name).removesuffix("_total"))
    said = re.sub(r"[_:\s]+", " ", _CAMEL.sub(" ", told)).strip()
    return labelled(said.capitalize(), name)


def labelled(told: str, name: str) -> str:
    """A family's label for one of its parts: "Latency (p95)" → "Latency (p50)"."""
    which = part(name)
    return f"{re.sub(r' [(][^()]*[)]$', '', told)} ({which})" if which else told
