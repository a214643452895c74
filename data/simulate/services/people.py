"""What people do and say: changes they roll out, incidents they report, and the causes they put on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.simulate.draws import Keys, derive, uniform
from data.simulate.services.faults import Incident
from data.simulate.services.topology import EXTERNAL, Channel, Clock, Topology

Row = dict[str, object]
ANNOTATORS = ("ana", "ben", "chi")
ERRORS = 0.12
"""Share of the labels that are wrong."""
HARMLESS = 3
"""Changes that do nothing, for one incident."""
CONFUSED = {
    "memory_leak": ("cpu_saturation", "deployment_failure"),
    "database_slow": ("disk_full", "network_latency"),
    "deployment_failure": ("config_error", "memory_leak"),
    "network_latency": ("external_dependency", "database_slow"),
    "disk_full": ("database_slow", "cpu_saturation"),
    "cpu_saturation": ("memory_leak", "deployment_failure"),
    "config_error": ("deployment_failure", "external_dependency"),
    "external_dependency": ("network_latency", "config_error"),
}
"""What each kind of fault is taken for."""
WORDS = {
    "error_rate_by_service": ("errors", "of requests fail"),
    "http_request_duration_seconds": ("slow", "times the usual time of a request"),
}
STATED = {"deploy": "Deploy of {} {}.{}.{}", "config": "Configuration {3} of {0} changed"}


def change_events(
    topology: Topology, incidents: Sequence[Incident], root: Keys, clock: Clock
) -> list[Row]:
    """Rows of events.csv in order of time, each with the incident that it began ("" = none) beside it: truth.

    Deploys and changes of configuration that do nothing happen at any time, beside incidents too.
    """
    key = derive(root, Channel.EVENT)
    able = np.flatnonzero(topology.kind != EXTERNAL)
    found: list[tuple[int, str, int, int | None]] = []
    for number in range(HARMLESS * len(incidents)):
        own = derive(key, number)
        kind = "deploy" if _pick(own, 0) < 0.7 else "config"
        service = int(able[int(_pick(own, 1) * len(able))])
        found.append((int(_pick(own, 2) * clock.minutes), kind, service, None))
    for number, incident in enumerate(incidents):
        if incident.kind.change and incident.root.level == "service":
            before = 1 + int(_pick(derive(key, 10**6 + number), 0) * 4)
            found.append(
                (incident.onset - before, incident.kind.change, incident.root.service, number)
            )
    rows: list[Row] = []
    for place, (minute, kind, service, begun) in enumerate(sorted(found, key=lambda row: row[:3])):
        own = derive(key, 2 * 10**6 + place)
        version = [1 + int(_pick(own, turn) * 30) for turn in range(3)]
        name = topology.services[service]
        rows.append(
            {
                "at": clock.text(minute),
                "kind": kind,
                "entity": f"service:{name}",
                "title": STATED[kind].format(name, *version),
                "detail": f"by {ANNOTATORS[int(_pick(own, 4) * len(ANNOTATORS))]}",
                "incident": "" if begun is None else incident_id(begun),
            }
        )
    return rows


def reported(topology: Topology, incident: Incident, number: int, at: int, clock: Clock) -> Row:
    """A row of incidents.csv: the symptom as it was noticed, never the cause."""
    alarm = topology.services[incident.alarm]
    word, phrase = WORDS[incident.metric]
    failing, slower = incident.failing[incident.alarm], incident.slower[incident.alarm]
    many = f"{failing:.0%}" if word == "errors" else f"{slower:.1f}"
    harm = max(failing / 0.25, (slower - 1.0) / 2.0)
    severity = "critical" if harm > 1 else "high" if harm > 0.5 else "medium"
    affected = sorted({incident.alarm, *incident.affected.tolist()})
    pods = np.flatnonzero(np.isin(topology.pod_service, affected))
    regions = sorted(set(topology.node_region[topology.pod_node[pods]].tolist()))
    return {
        "id": incident_id(number),
        "title": f"{alarm}: {word}",
        "description": f"{many} {phrase} at {alarm}; {len(affected)} services affected.",
        "severity": severity,
        "started_at": clock.text(at),
        "ended_at": clock.text(incident.stop),
        "services": ";".join(f"service:{topology.services[row]}" for row in affected),
        "regions": ";".join(f"region:{topology.regions[row]}" for row in regions),
    }


def incident_id(number: int) -> str:
    return f"INC-{number + 1:03d}"


def labels(
    topology: Topology, incidents: Sequence[Incident], root: Keys, clock: Clock
) -> tuple[list[Row], list[Row]]:
    """Rows of labels.csv, two annotators an incident, and of truth/label_errors.csv: what was planted in them.

    The wrong labels are a share `ERRORS` of all, at least one: half name a cause that it is mistaken for, half the
    service where it was noticed in place of where it began.
    """
    key = derive(root, Channel.LABEL)
    given: list[Row] = []
    keys = []
    for number, incident in enumerate(incidents):
        own = derive(key, number)
        order = np.argsort(uniform(derive(own, np.arange(len(ANNOTATORS)))))[:2]
        for annotator in order.tolist():
            mine = derive(own, 100 + annotator)
            sure = _pick(mine, 0)
            given.append(
                {
                    "incident_id": incident_id(number),
                    "annotator": ANNOTATORS[annotator],
                    "root_cause": incident.kind.name,
                    "component": incident.root.id,
                    "confidence": "high" if sure < 0.6 else "medium" if sure < 0.9 else "low",
                    "at": clock.text(incident.stop + 20 + int(_pick(mine, 1) * 240)),
                }
            )
            keys.append(mine[0])
    drawn = np.array(keys, dtype=np.uint64)
    wrong = max(1, round(ERRORS * len(given))) if given else 0
    errors: list[Row] = []
    for turn, place in enumerate(np.argsort(uniform(derive(drawn, 2)))[:wrong].tolist()):
        row, incident = given[place], incidents[place // 2]
        symptom = f"service:{topology.services[incident.alarm]}"
        field = "component" if turn % 2 and symptom != incident.root.id else "root_cause"
        taken = CONFUSED[incident.kind.name][int(_pick(drawn[place : place + 1], 3) < 0.5)]
        false = symptom if field == "component" else taken
        errors.append(
            {
                "incident_id": row["incident_id"],
                "annotator": row["annotator"],
                "field": field,
                "given": false,
                "true": row[field],
            }
        )
        row[field] = false
        # who is wrong is less sure, but not always
        if _pick(drawn[place : place + 1], 4) < 0.6:
            row["confidence"] = "low"
    return given, sorted(errors, key=lambda row: (str(row["incident_id"]), str(row["annotator"])))


def _pick(key: Keys, number: int) -> float:
    return float(uniform(derive(key, number))[0])
