-- name: create
CREATE TABLE IF NOT EXISTS routing_decision (
    tenant VARCHAR NOT NULL, experiment BIGINT NOT NULL, entity VARCHAR NOT NULL, unit VARCHAR NOT NULL,
    arm VARCHAR NOT NULL, version VARCHAR NOT NULL, stage VARCHAR NOT NULL, share DOUBLE NOT NULL,
    run BIGINT NOT NULL, decided TIMESTAMP NOT NULL
);
CREATE TABLE IF NOT EXISTS routing_exposure (
    tenant VARCHAR NOT NULL, experiment BIGINT NOT NULL, stage VARCHAR NOT NULL, share DOUBLE NOT NULL,
    unit VARCHAR NOT NULL, day DATE NOT NULL, treated BOOLEAN NOT NULL,
    rows BIGINT NOT NULL, control_alerts BIGINT NOT NULL, treatment_alerts BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS routing_alarm (
    tenant VARCHAR NOT NULL, experiment BIGINT NOT NULL, stage VARCHAR NOT NULL, share DOUBLE NOT NULL,
    entity VARCHAR NOT NULL, unit VARCHAR NOT NULL, day DATE NOT NULL, treated BOOLEAN NOT NULL,
    control_p DOUBLE NOT NULL, treatment_p DOUBLE NOT NULL,
    control_alarm BOOLEAN NOT NULL, treatment_alarm BOOLEAN NOT NULL
);

-- name: decide -- those that differ from the last decision on their entity
INSERT INTO routing_decision
SELECT $tenant, $experiment, i.entity, i.unit, i.arm, i.version, $stage, $share, $run, $decided
FROM incoming_decision i
LEFT JOIN (
    SELECT entity, arg_max(arm, run) AS arm, arg_max(version, run) AS version
    FROM routing_decision WHERE tenant = $tenant AND experiment = $experiment GROUP BY entity
) d USING (entity)
WHERE d.arm IS DISTINCT FROM i.arm OR d.version IS DISTINCT FROM i.version;

-- name: forget
DELETE FROM {table}
WHERE tenant = $tenant AND experiment = $experiment AND stage = $stage AND share = $share AND day >= $since;

-- name: expose
INSERT INTO routing_exposure
SELECT $tenant, $experiment, $stage, $share, unit, day, treated, rows, control_alerts, treatment_alerts
FROM incoming_expose;

-- name: alarm
INSERT INTO routing_alarm
SELECT $tenant, $experiment, $stage, $share, entity, unit, day, treated,
       control_p, treatment_p, control_alarm, treatment_alarm
FROM incoming_alarm;

-- name: units -- sums by unit over the days of a rung
SELECT unit, bool_or(treated) AS treated, sum(rows)::DOUBLE AS rows,
       sum(control_alerts)::DOUBLE AS control, sum(treatment_alerts)::DOUBLE AS treatment
FROM routing_exposure
WHERE tenant = $tenant AND experiment = $experiment AND stage = $stage AND share = $share
GROUP BY unit ORDER BY unit;

-- name: alarms
SELECT entity, unit, day, treated, control_p, treatment_p, control_alarm, treatment_alarm
FROM routing_alarm
WHERE tenant = $tenant AND experiment = $experiment AND stage = $stage AND share = $share
ORDER BY entity, day;

-- name: decisions -- newest first
SELECT entity, unit, arm, version, stage, share, run, decided
FROM routing_decision
WHERE tenant = $tenant AND experiment = $experiment AND ($entity = '' OR entity = $entity)
ORDER BY run DESC, entity LIMIT $limit;

-- name: arms -- how many entities and units each arm has by their last decision
SELECT arm, count(*) AS entities, count(DISTINCT unit) AS units
FROM (
    SELECT entity, arg_max(arm, run) AS arm, arg_max(unit, run) AS unit
    FROM routing_decision WHERE tenant = $tenant AND experiment = $experiment GROUP BY entity
)
GROUP BY arm ORDER BY arm;
