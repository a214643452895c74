-- name: entities -- those that a batch still in force describes; newest statement wins, by field
WITH described AS (
    SELECT entity,
           arg_max(name, {newest}) AS name, arg_max(status, {newest}) AS status,
           arg_max(zone, {newest}) AS zone, arg_max(currency, {newest}) AS currency,
           arg_max(attributes, {newest}) AS attributes
    FROM description WHERE tenant = $tenant AND domain = $domain AND as_of <= $as_of
    GROUP BY entity
)
SELECT e.key, e.id, e.level, coalesce(t.id, e.id) AS owner_id, d.name, d.status,
       coalesce(d.zone, o.zone, 'UTC') AS zone, coalesce(d.currency, o.currency, '') AS currency,
       d.attributes
FROM (SELECT * FROM entity WHERE tenant = $tenant AND domain = $domain AND level IN (SELECT unnest($levels))) e
JOIN described d ON d.entity = e.key
LEFT JOIN described o ON o.entity = e.owner
LEFT JOIN entity t ON t.tenant = $tenant AND t.domain = $domain AND t.key = e.owner
ORDER BY e.id;

-- name: edges -- each with the days it holds; a statement counts from the last full day before it
WITH stated AS (
    SELECT child, slot, as_of, arg_max(parent, batch) AS parent
    FROM edge
    WHERE tenant = $tenant AND domain = $domain AND as_of <= $as_of
    GROUP BY child, slot, as_of
), changed AS (
    SELECT *, lag(parent) OVER (PARTITION BY child, slot ORDER BY as_of) AS previous FROM stated
    QUALIFY previous IS DISTINCT FROM parent
)
SELECT child, parent,
       CASE WHEN previous IS NULL THEN DATE '0001-01-01' ELSE as_of::DATE - 1 END AS valid_from,
       coalesce(
           lead(as_of::DATE - 1) OVER (PARTITION BY child, slot ORDER BY as_of), DATE '9999-01-01'
       ) AS valid_to
FROM changed ORDER BY child, parent;

-- name: values
SELECT entity, (day - $first::DATE)::INTEGER AS day{latest}
FROM {table}
WHERE tenant = $tenant AND day BETWEEN $first AND $last AND as_of <= $as_of
  AND entity IN (SELECT unnest($keys))
GROUP BY entity, day;

-- name: first_days
SELECT entity, min(day) AS day
FROM {table}
WHERE tenant = $tenant AND as_of <= $as_of AND entity IN (SELECT unnest($keys))
GROUP BY entity;

-- name: deliveries -- the fullest of each day: a torn delivery does not undo a complete one
SELECT d.report, d.level, e.id AS owner, d.day, max(d.as_of) AS as_of, max(d.rows) AS rows,
       max(d.volume) AS volume, string_agg(DISTINCT d.carried, ',') AS carried
FROM delivery d
JOIN entity e ON e.tenant = $tenant AND e.domain = $domain AND e.key = d.owner
WHERE d.tenant = $tenant AND d.domain = $domain AND d.as_of <= $as_of
  AND d.level IN (SELECT unnest($levels))
GROUP BY d.report, d.level, e.id, d.day
ORDER BY d.report, e.id, d.day;

-- name: links -- sums over the same cells, known at one age and again a day later
WITH aged AS (
    SELECT t.id AS owner, o.entity, o.day, o.as_of::DATE - o.day AS age{latest}
    FROM {table} o
    JOIN entity e ON e.key = o.entity AND e.tenant = $tenant AND e.domain = $domain
    JOIN entity t ON t.key = e.owner AND t.tenant = $tenant AND t.domain = $domain
    WHERE o.tenant = $tenant AND o.as_of <= $as_of AND e.level = $level
    GROUP BY t.id, o.entity, o.day, age
)
SELECT a.owner, a.age{sums}
FROM aged a JOIN aged b ON b.entity = a.entity AND b.day = a.day AND b.age = a.age + 1
WHERE a.age >= 1
GROUP BY a.owner, a.age ORDER BY a.owner, a.age;

-- name: events
SELECT DISTINCT scope, first, last, kind, name
FROM event WHERE tenant = $tenant AND domain = $domain AND as_of <= $as_of
ORDER BY first, last, scope, name;

-- name: batches
SELECT * EXCLUDE (tenant) FROM batch WHERE tenant = $tenant ORDER BY id DESC;

-- name: digests
SELECT sha256, id FROM batch b WHERE tenant = $tenant AND state = 'loaded' AND NOT EXISTS (
    -- edges that were replaced may be told once more
    SELECT 1 FROM batch n WHERE n.tenant = b.tenant AND n.domain = b.domain AND n.source = b.source
        AND b.report = $whole AND n.report = $whole AND n.state = 'loaded' AND n.as_of > b.as_of
);

-- name: batch
SELECT domain, state FROM batch WHERE tenant = $tenant AND id = $batch;

-- name: refusals
SELECT file, line, "column", value, rule FROM refusal
WHERE tenant = $tenant AND batch = $batch ORDER BY line, "column" LIMIT $limit;

-- name: search
WITH described AS (
    SELECT entity, arg_max(name, {newest}) AS name
    FROM description WHERE tenant = $tenant AND domain = $domain GROUP BY entity
)
SELECT e.id, e.level, coalesce(d.name, e.id) AS name
FROM entity e JOIN described d ON d.entity = e.key
WHERE e.tenant = $tenant AND e.domain = $domain
  AND (contains(lower(coalesce(d.name, '')), lower($text)) OR contains(lower(e.id), lower($text)))
ORDER BY length(coalesce(d.name, e.id)), e.id LIMIT $limit;

-- name: version
SELECT coalesce(max(id), 0), count(*) FILTER (state = 'undone'),
       (SELECT count(*) FROM forgotten WHERE tenant = $tenant),
       (SELECT coalesce(bit_xor(hash(domain, metric, label, unit, bad, nature)), 0)
        FROM measure WHERE tenant = $tenant AND batch = 0)
FROM batch WHERE tenant = $tenant;

-- name: newest
SELECT max(as_of) AS as_of FROM delivery
WHERE tenant = $tenant AND domain = $domain AND level IN (SELECT unnest($levels));

-- name: holdings
SELECT DISTINCT tenant, domain FROM delivery ORDER BY tenant, domain;

-- name: columns
SELECT column_name AS name FROM information_schema.columns WHERE table_name = $table;

-- name: rows
SELECT count(*) AS n FROM {table};

-- name: sorted
SELECT sorted FROM layout WHERE observation = $table;

-- name: observation_tables
SELECT table_name AS name FROM information_schema.tables WHERE starts_with(table_name, 'observation_');

-- name: copy
COPY (FROM {table}) TO $file (FORMAT parquet);

-- name: health
SELECT count(*) FROM batch;
