-- name: loaded
SELECT id, rows FROM batch b WHERE tenant = $tenant AND sha256 = $sha256 AND state = 'loaded' AND NOT EXISTS (
    -- edges that were replaced in between are news again
    SELECT 1 FROM batch n WHERE n.tenant = b.tenant AND n.domain = b.domain AND n.source = b.source
        AND b.report = $whole AND n.report = $whole AND n.state = 'loaded' AND n.as_of > b.as_of AND n.as_of < $as_of
)
ORDER BY id DESC;

-- name: next_batch
SELECT coalesce(max(id), 0) + 1 FROM batch WHERE tenant = $tenant;

-- name: last_key
SELECT coalesce(max(key), 0) FROM entity WHERE tenant = $tenant;

-- name: owners
INSERT INTO entity
SELECT $tenant, $domain, $key + row_number() OVER (ORDER BY id), id, split_part(id, ':', 1),
       $key + row_number() OVER (ORDER BY id)
FROM (SELECT DISTINCT owner AS id FROM incoming_entity)
ANTI JOIN (SELECT id FROM entity WHERE tenant = $tenant AND domain = $domain) USING (id);

-- name: entities
INSERT INTO entity
SELECT $tenant, $domain, $key + row_number() OVER (ORDER BY i.local), i.id, i.level, o.key
FROM incoming_entity i
JOIN (SELECT id, key FROM entity WHERE tenant = $tenant AND domain = $domain) o ON o.id = i.owner
ANTI JOIN (SELECT id FROM entity WHERE tenant = $tenant AND domain = $domain) e ON e.id = i.id;

-- name: keys
CREATE OR REPLACE TEMP TABLE incoming_key AS
SELECT i.local, e.key, e.owner, e.level
FROM incoming_entity i
JOIN (SELECT * FROM entity WHERE tenant = $tenant AND domain = $domain) e ON e.id = i.id;

-- name: distinct_rows
SELECT count(*) FROM (SELECT DISTINCT entity, day FROM incoming_observation);

-- name: kept -- of several rows of one key, the last of the file
CREATE OR REPLACE TEMP TABLE incoming_kept AS
SELECT * FROM incoming_observation
QUALIFY row_number() OVER (PARTITION BY entity, day ORDER BY row DESC) = 1;

-- name: observations
INSERT INTO {table} (tenant, entity, day, as_of, batch{columns})
SELECT $tenant, k.key, o.day, $as_of, $batch{columns}
FROM {source} o JOIN incoming_key k ON k.local = o.entity
ORDER BY k.key, o.day;

-- name: descriptions
INSERT INTO description
SELECT $tenant, $domain, k.key, $as_of, $batch, i.name, i.status, i.zone, i.currency, i.attributes
FROM incoming_entity i JOIN incoming_key k USING (local);

-- name: edges
INSERT INTO edge
SELECT $tenant, $domain, c.key, i.slot, p.key, $as_of, $batch
FROM incoming_edge i
JOIN incoming_key c ON c.local = i.child JOIN incoming_key p ON p.local = i.parent;

-- name: events
INSERT INTO event
SELECT $tenant, $domain, scope, first, last, kind, name, $as_of, $batch FROM incoming_event;

-- name: deliveries -- a day inside the file's span without any row was delivered, empty
INSERT INTO delivery
WITH counted AS (
    SELECT k.level, k.owner, o.day, count(*) AS rows, coalesce(sum({volume}), 0) AS volume
    FROM {source} o JOIN incoming_key k ON k.local = o.entity GROUP BY ALL
), days AS (
    SELECT unnest(generate_series(
        coalesce($first, min(day))::TIMESTAMP, coalesce($last, max(day))::TIMESTAMP, INTERVAL 1 DAY
    ))::DATE AS day FROM counted
)
SELECT $tenant, $domain, $report, g.level, g.owner, d.day, $as_of, $batch, coalesce(c.rows, 0),
       coalesce(c.volume, 0), $carried
FROM (SELECT DISTINCT level, owner FROM counted) g CROSS JOIN days d
LEFT JOIN counted c ON c.level = g.level AND c.owner = g.owner AND c.day = d.day;

-- name: batch
INSERT INTO batch VALUES (
    $tenant, $batch, $domain, $sha256, $source, $format, $report, $as_of, $loaded_at,
    $rows, $new, $duplicates, $refused, $differences, $notes, $state
);

-- name: refusals
INSERT INTO refusal
SELECT $tenant, $batch, file, line, "column", value, rule FROM incoming_refusal;

-- name: undo
UPDATE batch SET state = 'undone' WHERE tenant = $tenant AND id = $batch;

-- name: forget
DELETE FROM {table} WHERE tenant = $tenant AND batch = $batch;

-- name: settle -- one rewrite in reading order
CREATE OR REPLACE TABLE {table} AS
SELECT * FROM {table} ORDER BY tenant, entity, day, as_of, batch;

-- name: unmark
DELETE FROM layout WHERE observation = $table;

-- name: mark
INSERT INTO layout VALUES ($table, $rows);
