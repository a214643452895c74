"""The kinds of jobs: what the owner of the stores prepares for each, and how it publishes what comes back.

What happens in between, in the worker, stands in `models.jobs.WORK` under the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import UnknownNameError
from data.model_records import Job
from models.jobs import Outcome
from workbench.context import Context
from workbench.services import training_jobs
from workbench.services.jobs import Finish, Prepared


@dataclass(frozen=True)
class Kind:
    """prepare reads the stores; publish commits an outcome's effects and the job's end in one transaction."""

    prepare: Callable[[Context, str, Job], Prepared]
    publish: Callable[[Context, str, Job, Outcome, Finish], None]


KINDS = {"train": Kind(training_jobs.prepare, training_jobs.publish)}


def kind(name: str) -> Kind:
    """The kind of that name."""
    if name not in KINDS:
        raise UnknownNameError.of("jobs", "the kind", f"one of {', '.join(KINDS)}", name)
    return KINDS[name]
