-- name: macros -- a moment as UTC: ISO text, or seconds, milliseconds, microseconds or nanoseconds since 1970
CREATE OR REPLACE TEMP MACRO counted_moment(n) AS make_timestamp(
    TRY_CAST(n * CASE WHEN abs(n) < 1e11 THEN 1e6 WHEN abs(n) < 1e14 THEN 1e3 WHEN abs(n) < 1e17 THEN 1
                      WHEN abs(n) < 1e20 THEN 1e-3 END AS BIGINT)
);
CREATE OR REPLACE TEMP MACRO told_moment(x) AS coalesce(
    counted_moment(TRY_CAST(x AS DOUBLE)), TRY_CAST(x AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
);

-- name: number -- how the cells of this file write a number
CREATE OR REPLACE TEMP MACRO told_number(x) AS TRY_CAST({cell} AS DOUBLE);

-- name: typed
CREATE OR REPLACE TEMP TABLE sheet AS SELECT row_number() OVER () AS row, NULL::VARCHAR AS spare, * FROM table_read;

-- name: numbers
SELECT count(*) AS rows{counted} FROM sheet;

-- name: long
CREATE OR REPLACE TEMP VIEW narrow AS SELECT {kept}, {cells} FROM sheet;

-- name: wide -- a metric stands behind a sign, or one called row or time would be taken for the row or the time
CREATE OR REPLACE TEMP VIEW narrow AS
SELECT * REPLACE (metric[2:] AS metric)
FROM (SELECT {kept}, {cells} FROM sheet)
UNPIVOT INCLUDE NULLS (cell FOR metric IN (* EXCLUDE (row, spare, time, who)));

-- name: raw
CREATE OR REPLACE TEMP VIEW raw AS
SELECT *, {moment} AS moment, told_number(cell) AS value FROM narrow;

-- name: names
SELECT DISTINCT {column} AS name FROM raw WHERE {column} IS NOT NULL ORDER BY name;

-- name: counts
SELECT count(*) FILTER ({bad}) AS refused,
       count(*) FILTER (NOT ({bad}) AND (value IS NULL OR isnan(value))) AS missing FROM raw;

-- name: measured
CREATE OR REPLACE TEMP TABLE measured AS
SELECT e.number AS entity, m.number AS metric, r.moment, r.value, r.row
FROM raw r JOIN who_name e ON e.name = r.who JOIN metric_name m ON m.name = r.metric
WHERE NOT ({bad}) AND value IS NOT NULL AND NOT isnan(value);

-- name: parts -- so many samples in a piece, all of one series in one: from which series to which
SELECT min(place) AS first, max(place) AS last FROM (
    SELECT place, (sum(rows) OVER (ORDER BY place) - rows) // $most AS piece
    FROM (SELECT {place} AS place, count(*) AS rows FROM measured GROUP BY place)
) GROUP BY piece ORDER BY first;

-- name: piece
CREATE OR REPLACE TEMP VIEW piece AS SELECT * FROM measured WHERE {place} BETWEEN {first} AND {last};

-- name: samples
SELECT * FROM piece;

-- name: rates -- of counters: the rise per second; one that fell began again at zero
WITH stepped AS (
    SELECT *, lag(value) OVER series AS before, epoch(moment - lag(moment) OVER series) AS seconds
    FROM piece WHERE metric IN (SELECT unnest($counters))
    WINDOW series AS (PARTITION BY entity, metric ORDER BY moment, row)
)
SELECT * FROM piece WHERE metric NOT IN (SELECT unnest($counters))
UNION ALL
SELECT entity, metric, moment,
       CASE WHEN value < before THEN value ELSE value - before END / seconds AS value, row
FROM stepped WHERE seconds > 0;
