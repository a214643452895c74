-- name: tables
CREATE TABLE IF NOT EXISTS forgotten (
    tenant VARCHAR NOT NULL, domain VARCHAR NOT NULL, before TIMESTAMP NOT NULL, dropped_at TIMESTAMP NOT NULL,
    samples BIGINT NOT NULL
);

-- name: days -- which days hold hours that are past keeping and that nothing needs, and how many samples
SELECT date_trunc('day', hour)::TIMESTAMP AS day, sum(rows)::BIGINT AS samples FROM sampling
WHERE tenant = $tenant AND domain = $domain AND hour < $before
    AND NOT EXISTS (SELECT 1 FROM held WHERE hour >= held.first AND hour < held.last)
GROUP BY day ORDER BY day;

-- name: samples
DELETE FROM sample
WHERE tenant = $tenant AND moment >= $day AND moment < least($day + INTERVAL 1 DAY, $before)
    AND series IN (SELECT key FROM series WHERE tenant = $tenant AND domain = $domain)
    AND NOT EXISTS (SELECT 1 FROM held WHERE moment >= held.first AND moment < held.last);

-- name: sampling
DELETE FROM sampling
WHERE tenant = $tenant AND domain = $domain AND hour >= $day AND hour < least($day + INTERVAL 1 DAY, $before)
    AND NOT EXISTS (SELECT 1 FROM held WHERE hour >= held.first AND hour < held.last);

-- name: told
INSERT INTO forgotten VALUES ($tenant, $domain, $before, $dropped_at, $samples);

-- name: gone -- series that no sample is left of, and whether their entity has another
CREATE OR REPLACE TEMP TABLE gone AS
WITH mine AS (SELECT key, entity FROM series WHERE tenant = $tenant AND domain = $domain),
left_over AS (SELECT key FROM mine ANTI JOIN (SELECT DISTINCT series AS key FROM sample WHERE tenant = $tenant) USING (key))
SELECT key, entity, entity NOT IN (SELECT entity FROM mine ANTI JOIN left_over USING (key)) AS whole
FROM mine JOIN left_over USING (key);

-- name: components
DELETE FROM component WHERE tenant = $tenant AND domain = $domain
    AND id IN (SELECT entity FROM gone WHERE whole);

-- name: dependencies
DELETE FROM dependency WHERE tenant = $tenant AND domain = $domain
    AND (source IN (SELECT entity FROM gone WHERE whole) OR target IN (SELECT entity FROM gone WHERE whole));

-- name: series
DELETE FROM series WHERE tenant = $tenant AND domain = $domain AND key IN (SELECT key FROM gone);

-- name: last
SELECT before, max(dropped_at) AS dropped_at, sum(samples)::BIGINT AS samples FROM forgotten
WHERE tenant = $tenant AND domain = $domain GROUP BY before ORDER BY dropped_at DESC LIMIT 1;
