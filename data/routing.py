"""What experiments routed and what both models said of it, in DuckDB: columns by the hundred thousand, not records.

An entity's arm is decided in every run but changes at most once a rung, so a decision is written with the run that
first made it and holds until the next one on the same entity. What a run sees of a day replaces what an earlier
run saw of it, as the figures of a day still arrive: the same run written twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from data.duck import Duck, columns, rows, statements

TABLES = ("routing_decision", "routing_exposure", "routing_alarm")
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Rung:
    """A place on an experiment's ladder: its stage, and the treatment's share of the units."""

    experiment: int
    stage: str
    share: float

    @property
    def key(self) -> dict[str, Any]:
        """As the statements name it."""
        return {"experiment": self.experiment, "stage": self.stage, "share": self.share}


class RoutingLog:
    """Decisions by entity, exposure by unit and day, alarms of either model by entity and day."""

    def __init__(self, duck: Duck) -> None:
        self._duck = duck
        self._sql = statements("routing")
        duck.run(lambda cursor: cursor.execute(self._sql["create"]))

    def decide(
        self, tenant: str, rung: Rung, *, run: int, at: datetime, decisions: Columns
    ) -> None:
        """Write down what a run decided, where that differs from the last decision: entity, unit, arm, version."""
        key = {"tenant": tenant, **rung.key, "run": run}
        moment = at.astimezone(UTC).replace(tzinfo=None)

        def work(cursor: Any) -> None:
            cursor.register("incoming_decision", pa.table(dict(decisions)))
            cursor.execute(self._sql["decide"], key | {"decided": moment})

        self._duck.transaction(work)

    def observe(
        self, tenant: str, rung: Rung, *, since: date, exposures: Columns, alarms: Columns
    ) -> None:
        """Write down what was seen of the days from `since` on, in place of what was there of them.

        exposures : unit, day, treated, rows, control_alerts, treatment_alerts
        alarms    : entity, unit, day, treated, control_p, treatment_p, control_alarm, treatment_alarm
        """
        key = {"tenant": tenant, **rung.key}

        def work(cursor: Any) -> None:
            for table, step, seen in (
                ("routing_exposure", "expose", exposures),
                ("routing_alarm", "alarm", alarms),
            ):
                cursor.register(f"incoming_{step}", pa.table(dict(seen)))
                cursor.execute(self._sql["forget"].format(table=table), key | {"since": since})
                cursor.execute(self._sql[step], key)

        self._duck.transaction(work)

    def units(self, tenant: str, rung: Rung) -> Columns:
        """unit, treated, rows, control, treatment: alerts of each model summed over the rung's days."""
        key = {"tenant": tenant, **rung.key}
        return self._duck.run(lambda cursor: columns(cursor, self._sql["units"], **key))

    def alarms(self, tenant: str, rung: Rung) -> list[dict[str, Any]]:
        """Entity-days of the rung on which at least one model raised an alarm."""
        key = {"tenant": tenant, **rung.key}
        return self._duck.run(lambda cursor: rows(cursor, self._sql["alarms"], **key))

    def decisions(
        self, tenant: str, experiment: int, *, entity: str = "", limit: int = 100
    ) -> list[dict[str, Any]]:
        """Routing decisions, newest first: of one entity, or of all."""
        key = {"tenant": tenant, "experiment": experiment, "entity": entity, "limit": limit}
        found = self._duck.run(lambda cursor: rows(cursor, self._sql["decisions"], **key))
        return [row | {"decided": row["decided"].replace(tzinfo=UTC)} for row in found]

    def arms(self, tenant: str, experiment: int) -> list[dict[str, Any]]:
        """arm, entities, units as last decided."""
        key = {"tenant": tenant, "experiment": experiment}
        return self._duck.run(lambda cursor: rows(cursor, self._sql["arms"], **key))
