-- name: tables
CREATE TABLE IF NOT EXISTS series (
    tenant VARCHAR NOT NULL, domain VARCHAR NOT NULL, key INTEGER NOT NULL,
    entity VARCHAR NOT NULL, metric VARCHAR NOT NULL
);
CREATE TABLE IF NOT EXISTS sample (
    tenant VARCHAR NOT NULL, series INTEGER NOT NULL, moment TIMESTAMP NOT NULL, value DOUBLE NOT NULL,
    batch INTEGER NOT NULL
);
-- What a batch brought of each metric in an hour: in which of its 60 minutes anybody's was measured, a bit each, the
-- usual step, and how many of the samples stand beside one of the same series and time.
CREATE TABLE IF NOT EXISTS sampling (
    tenant VARCHAR NOT NULL, domain VARCHAR NOT NULL, metric VARCHAR NOT NULL, hour TIMESTAMP NOT NULL,
    minutes UBIGINT NOT NULL, first TIMESTAMP NOT NULL, last TIMESTAMP NOT NULL, rows BIGINT NOT NULL,
    seconds DOUBLE, repeated BIGINT NOT NULL, batch INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS component (
    tenant VARCHAR NOT NULL, domain VARCHAR NOT NULL, id VARCHAR NOT NULL, level VARCHAR NOT NULL,
    name VARCHAR, parent VARCHAR, attributes VARCHAR, batch INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS dependency (
    tenant VARCHAR NOT NULL, domain VARCHAR NOT NULL, source VARCHAR NOT NULL, target VARCHAR NOT NULL,
    kind VARCHAR NOT NULL, batch INTEGER NOT NULL, valid_from TIMESTAMP, valid_to TIMESTAMP
);
-- What is said of a metric: by a file or a source (its batch), or by a person (batch 0), whose word stands.
CREATE TABLE IF NOT EXISTS measure (
    tenant VARCHAR NOT NULL, domain VARCHAR NOT NULL, metric VARCHAR NOT NULL, label VARCHAR,
    unit VARCHAR, bad INTEGER, nature VARCHAR, batch INTEGER NOT NULL
);

-- name: bounded -- a store from before edges had bounds
ALTER TABLE dependency ADD COLUMN IF NOT EXISTS valid_from TIMESTAMP;
ALTER TABLE dependency ADD COLUMN IF NOT EXISTS valid_to TIMESTAMP;

-- name: series
INSERT INTO series
SELECT $tenant, $domain, (SELECT coalesce(max(key), 0) FROM series WHERE tenant = $tenant)
       + row_number() OVER (ORDER BY entity, metric), entity, metric
FROM (SELECT DISTINCT entity::VARCHAR AS entity, metric::VARCHAR AS metric FROM incoming_sample)
ANTI JOIN (SELECT entity, metric FROM series WHERE tenant = $tenant AND domain = $domain)
USING (entity, metric);

-- name: keyed -- in the order in which they are read
CREATE OR REPLACE TEMP TABLE keyed AS
SELECT s.key AS series, i.moment, i.value, i.row FROM incoming_sample i
JOIN (SELECT key, entity, metric FROM series WHERE tenant = $tenant AND domain = $domain) s
ON s.entity = i.entity::VARCHAR AND s.metric = i.metric::VARCHAR
ORDER BY series, moment, row;

-- name: stepped -- each sample beside the one before it; the table keeps its order, and a stream of it costs no sort
CREATE OR REPLACE TEMP VIEW stepped AS
SELECT *, lag(series) OVER () = series AS follows, moment - lag(moment) OVER () AS step FROM keyed;

-- name: doubled
SELECT count(*) FROM stepped WHERE follows AND step = INTERVAL 0 SECOND;

-- name: kept -- of several samples of one series and time, the last of the file
CREATE OR REPLACE TEMP TABLE keyed AS
SELECT series, moment, arg_max(value, row) AS value, max(row) AS row FROM keyed
GROUP BY series, moment ORDER BY series, moment;

-- name: sampling
INSERT INTO sampling
WITH told AS (
    SELECT series, date_trunc('hour', moment) AS hour,
           bit_or(1::UBIGINT << minute(moment)::UBIGINT) AS minutes,
           min(moment) AS first, max(moment) AS last, count(*) AS rows,
           mode(epoch(step)) FILTER (follows) AS seconds
    FROM stepped GROUP BY series, hour
), again AS (
    SELECT series, date_trunc('hour', moment) AS hour, count(*) AS repeated FROM keyed
    SEMI JOIN (
        SELECT series, moment FROM sample WHERE tenant = $tenant AND batch <> $batch
        AND moment BETWEEN (SELECT min(moment) FROM keyed) AND (SELECT max(moment) FROM keyed)
    ) USING (series, moment)
    GROUP BY series, hour
)
SELECT $tenant, $domain, s.metric, hour, bit_or(minutes), min(first), max(last), sum(rows),
       mode(seconds), coalesce(sum(repeated), 0), $batch
FROM told JOIN series s ON s.tenant = $tenant AND s.key = told.series
LEFT JOIN again USING (series, hour)
GROUP BY s.metric, hour;

-- name: samples
INSERT INTO sample SELECT $tenant, series, moment, value, $batch FROM keyed;

-- name: components_told
INSERT INTO component
SELECT $tenant, $domain, id, level, name, parent, attributes, $batch FROM incoming_component;

-- name: dependencys_told
INSERT INTO dependency
SELECT DISTINCT $tenant, $domain, source, target, kind, $batch, valid_from, valid_to FROM incoming_dependency;

-- name: measures_told
INSERT INTO measure
SELECT $tenant, $domain, metric, label, unit, bad, nature, $batch FROM incoming_measure;

-- name: withdraw
DELETE FROM measure WHERE tenant = $tenant AND domain = $domain AND metric = $metric AND batch = 0;

-- name: declare
INSERT INTO measure VALUES ($tenant, $domain, $metric, $label, $unit, $bad, $nature, 0);

-- name: unused -- series that no sample is left of
DELETE FROM series WHERE tenant = $tenant
    AND key NOT IN (SELECT DISTINCT series FROM sample WHERE tenant = $tenant);

-- name: known_series
SELECT key, entity, metric FROM series WHERE tenant = $tenant AND domain = $domain ORDER BY key;

-- name: repeated -- whether a batch in these times holds a sample anew
SELECT coalesce(sum(repeated), 0) FROM sampling
WHERE tenant = $tenant AND domain = $domain AND last >= $first AND first < $last;

-- name: values
SELECT series, moment, value FROM sample
WHERE tenant = $tenant AND moment >= $first AND moment < $last AND series IN (SELECT unnest($keys));

-- name: newest_values -- where a later batch tells a sample anew, its word stands
SELECT series, moment, arg_max(value, batch) AS value FROM sample
WHERE tenant = $tenant AND moment >= $first AND moment < $last AND series IN (SELECT unnest($keys))
GROUP BY series, moment;

-- name: metrics
SELECT metric, min(first) AS first, max(last) AS last, sum(rows)::BIGINT AS rows,
       coalesce(arg_max(seconds, rows) FILTER (seconds IS NOT NULL), 0) AS seconds
FROM sampling WHERE tenant = $tenant AND domain = $domain GROUP BY metric ORDER BY metric;

-- name: metrics_of -- the same of one entity
WITH stepped AS (
    SELECT s.metric, v.moment, epoch(v.moment - lag(v.moment) OVER (PARTITION BY v.series ORDER BY v.moment)) AS seconds
    FROM sample v JOIN series s ON s.tenant = $tenant AND s.key = v.series
    WHERE v.tenant = $tenant AND s.domain = $domain AND s.entity = $entity
)
SELECT metric, min(moment) AS first, max(moment) AS last, count(*) AS rows, coalesce(mode(seconds), 0) AS seconds
FROM stepped GROUP BY metric ORDER BY metric;

-- name: entities
SELECT metric, count(*) AS entities FROM series
WHERE tenant = $tenant AND domain = $domain AND NOT contains(entity, '→') GROUP BY metric;

-- name: said -- the newest word on each field, of people and of batches apart
SELECT metric, batch = 0 AS by_hand,
       arg_max(label, batch) FILTER (label IS NOT NULL) AS label,
       arg_max(unit, batch) FILTER (unit IS NOT NULL) AS unit,
       arg_max(bad, batch) FILTER (bad IS NOT NULL) AS bad,
       arg_max(nature, batch) FILTER (nature IS NOT NULL) AS nature
FROM measure WHERE tenant = $tenant AND domain = $domain GROUP BY metric, by_hand ORDER BY metric, by_hand;

-- name: components_known
SELECT id, arg_max(level, batch) AS level, arg_max(name, batch) AS name,
       arg_max(parent, batch) AS parent, arg_max(attributes, batch) AS attributes
FROM component WHERE tenant = $tenant AND domain = $domain GROUP BY id ORDER BY id;

-- name: sampled_entities
SELECT DISTINCT entity FROM series
WHERE tenant = $tenant AND domain = $domain AND NOT contains(entity, '→') ORDER BY entity;

-- name: dependencies_at -- of the edge files of one name the newest told by then, before any was told the first
WITH told AS (
    SELECT id, source, as_of, report = $whole AS whole FROM batch
    WHERE tenant = $tenant AND domain = $domain AND state = 'loaded'
), standing AS (
    SELECT id FROM told WHERE NOT whole
    UNION ALL
    SELECT id FROM told WHERE whole QUALIFY row_number() OVER (
        PARTITION BY source
        ORDER BY as_of > $told_by, abs(epoch(as_of) - epoch($told_by::TIMESTAMP)), id DESC
    ) = 1
)
SELECT source, target, arg_max(kind, batch) AS kind FROM dependency
WHERE tenant = $tenant AND domain = $domain AND batch IN (SELECT id FROM standing)
    AND coalesce(valid_from <= $moment, true) AND coalesce(valid_to > $moment, true)
GROUP BY source, target ORDER BY source, target;

-- name: dependency_changes -- the moments from which on other edges may hold
SELECT as_of AS moment FROM batch
WHERE tenant = $tenant AND domain = $domain AND state = 'loaded' AND report = $whole
UNION
SELECT unnest([valid_from, valid_to]) FROM dependency WHERE tenant = $tenant AND domain = $domain
ORDER BY moment;

-- name: days -- in how many minutes of each day anybody's was measured
SELECT metric, hour::DATE AS day, sum(rows)::BIGINT AS rows, sum(minutes)::BIGINT AS minutes,
       max(last) AS last
FROM (
    SELECT metric, hour, bit_count(bit_or(minutes)) AS minutes, sum(rows) AS rows, max(last) AS last
    FROM sampling WHERE tenant = $tenant AND domain = $domain AND hour >= $first
    GROUP BY metric, hour
) GROUP BY metric, day;

-- name: span
SELECT min(first) AS first, max(last) AS last FROM sampling WHERE tenant = $tenant AND domain = $domain;

-- name: arrived
SELECT coalesce(max(batch), 0) AS newest, min(first) FILTER (batch > $after) AS first
FROM sampling WHERE tenant = $tenant AND domain = $domain;

-- name: holdings
SELECT DISTINCT tenant, domain FROM sampling ORDER BY tenant, domain;
