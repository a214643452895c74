"""Everything one can ask for, one class each: fields are the arguments, `run` calls the service.

The REST API (`workbench.api`) and the command line (`workbench.cli`) are both made from these classes,
so the two doors cannot differ. Adding a question = one class in the file of its subject.
"""

from __future__ import annotations

from workbench.operations import (
    agreement,
    anomaly,
    compare,
    data,
    drift,
    experiments,
    health,
    incidents,
    jobs,
    labels,
    models,
    scoring,
    sources,
)
from workbench.operations.operation import (
    TENANT_HEADER,
    USER_HEADER,
    Caller,
    Operation,
    concrete,
)

__all__ = [
    "TENANT_HEADER",
    "USER_HEADER",
    "Caller",
    "Operation",
    "agreement",
    "anomaly",
    "compare",
    "concrete",
    "data",
    "drift",
    "experiments",
    "health",
    "incidents",
    "jobs",
    "labels",
    "models",
    "scoring",
    "sources",
]
