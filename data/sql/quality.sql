-- name: hours -- in which minutes of each hour anybody's was measured
SELECT metric, hour, bit_count(bit_or(minutes))::INTEGER AS minutes
FROM sampling
WHERE tenant = $tenant AND domain = $domain AND last >= $first AND first < $last
GROUP BY metric, hour;

-- name: size -- samples of all series in the window, told by hours
SELECT coalesce(sum(rows), 0)::BIGINT FROM sampling
WHERE tenant = $tenant AND domain = $domain AND last >= $first AND first < $last;

-- name: corrected -- samples that a later batch told otherwise
SELECT count(*) FROM (
    SELECT 1 FROM sample
    WHERE tenant = $tenant AND moment >= $first AND moment < $last AND series IN (
        SELECT key FROM series WHERE tenant = $tenant AND domain = $domain)
    GROUP BY series, moment HAVING count(*) > 1 AND min(value) <> max(value)
);

-- name: chosen -- the samples that are looked at: every so many series
CREATE OR REPLACE TEMP TABLE chosen AS
SELECT v.series, epoch(v.moment) AS instant, {value} AS value FROM sample v
JOIN series s ON s.tenant = $tenant AND s.key = v.series
WHERE v.tenant = $tenant AND s.domain = $domain AND v.moment >= $first AND v.moment < $last
    AND NOT contains(s.entity, '→') AND s.key % $every = 0
{once};

-- name: fences -- the usual step and the quartiles of each series
CREATE OR REPLACE TEMP TABLE stepped AS
SELECT *, instant - lag(instant) OVER follows AS step, lag(value) OVER follows AS before, lead(value) OVER follows AS after
FROM chosen WINDOW follows AS (PARTITION BY series ORDER BY instant);
CREATE OR REPLACE TEMP TABLE fence AS
SELECT series, median(step) AS usual, quantile_cont(value, 0.25) AS low, quantile_cont(value, 0.75) AS high
FROM stepped GROUP BY series;

-- name: series
WITH judged AS (
    SELECT t.*, f.usual, high - low AS width,
           value < low - 1.5 * width OR value > high + 1.5 * width AS beyond,
           width > 0 AND (value < low - 3 * width OR value > high + 3 * width)
               AND before BETWEEN low - 3 * width AND high + 3 * width
               AND after BETWEEN low - 3 * width AND high + 3 * width AS lone,
           abs(value) > $absurd * greatest(abs(low), abs(high)) OR (low > 0 AND value < 0) AS absurd,
           CASE WHEN width > 0 THEN greatest(low - value, value - high) / width END AS far
    FROM stepped t JOIN fence f USING (series)
)
SELECT s.entity, s.metric, count(*)::BIGINT AS samples, min(instant) AS first, max(instant) AS last,
       any_value(usual)::DOUBLE AS usual,
       count(*) FILTER (abs(step - usual) > $tolerance)::BIGINT AS uneven,
       coalesce(sum(greatest(round(step / usual) - 1, 0)) FILTER (usual > 0), 0)::BIGINT AS missing,
       count(*) FILTER (width > 0 AND beyond)::BIGINT AS beyond,
       count(*) FILTER (lone)::BIGINT AS lone, count(*) FILTER (lone AND absurd)::BIGINT AS absurd,
       arg_max(value, far) FILTER (lone) AS worst, arg_max(instant, far) FILTER (lone) AS worst_at
FROM judged j JOIN series s ON s.tenant = $tenant AND s.key = j.series
GROUP BY s.entity, s.metric ORDER BY s.entity, s.metric;

-- name: holes -- the largest stretches without samples, those of the same time together
SELECT t.instant - t.step AS start, t.instant AS stop, count(*)::BIGINT AS series,
       sum(round(t.step / f.usual) - 1)::BIGINT AS missing,
       min(s.metric || ' of ' || s.entity) AS example
FROM stepped t JOIN fence f USING (series) JOIN series s ON s.tenant = $tenant AND s.key = t.series
WHERE t.step > 1.5 * f.usual + $tolerance
GROUP BY start, stop ORDER BY missing DESC, start LIMIT $most;
