-- name: json -- every cell as text: a bad one must not kill the file, and ids keep all digits
CREATE OR REPLACE TEMP TABLE raw AS
SELECT row_number() OVER () AS row{selected}
FROM read_json(
    $file, columns = {columns}, format = '{format}', compression = '{compression}',
    maximum_object_size = 1048576
);

-- name: csv
CREATE OR REPLACE TEMP TABLE sheet AS
SELECT row_number() OVER () + 1 AS row{cells}, coalesce({spare}) AS spare FROM read_csv(
    $file, header = false, skip = 1, columns = {{{columns}}}, delim = $delimiter, quote = '"',
    escape = '"', null_padding = true, auto_detect = false
);

-- name: sheet
CREATE OR REPLACE TEMP TABLE sheet AS
SELECT row_number() OVER () + {header} AS row{cells}, NULL::VARCHAR AS spare FROM {table};

-- name: distinct
SELECT DISTINCT {cells} FROM sheet;

-- name: named
CREATE OR REPLACE TEMP TABLE raw AS
SELECT s.row{selected} FROM sheet s LEFT JOIN naming n ON {joined} ORDER BY s.row;

-- name: mapped
CREATE OR REPLACE TEMP TABLE raw AS SELECT row{selected} FROM sheet ORDER BY row;

-- name: macros
CREATE OR REPLACE TEMP MACRO plain_number(x) AS TRY_CAST(x AS DOUBLE);
-- "$1,234.56", "1.234,56 €", "12.5%", "(3.20)": the last separator followed by two digits is decimal.
CREATE OR REPLACE TEMP MACRO bare(x) AS regexp_replace(x, '[\s$€£¥₹%]|[A-Z]{3}|(R|kr|zł|TL)', '', 'g');
CREATE OR REPLACE TEMP MACRO shown_number(x) AS TRY_CAST(
    CASE WHEN regexp_full_match(bare(x), '-?[0-9.]*,[0-9]{1,2}')
         THEN replace(replace(bare(x), '.', ''), ',', '.')
         ELSE replace(bare(x), ',', '') END AS DOUBLE
) / CASE WHEN ends_with(trim(x), '%') THEN 100 ELSE 1 END;
CREATE OR REPLACE TEMP MACRO plain_day(x) AS TRY_CAST(x AS DATE);
CREATE OR REPLACE TEMP MACRO shown_day(x) AS coalesce(
    TRY_CAST(x AS DATE), TRY_CAST(TRY_CAST(x AS TIMESTAMP) AS DATE),
    try_strptime(x, ['%b %d, %Y', '%d-%b-%Y', '%m/%d/%Y'])::DATE
);

-- name: bad_counts
SELECT count(*) AS rows{counts} FROM raw;

-- name: refusals
SELECT DISTINCT row AS line, {header} AS "column", coalesce({column}, '') AS value FROM raw WHERE {bad}
ORDER BY row LIMIT {limit};

-- name: good
CREATE OR REPLACE TEMP VIEW good AS SELECT *, {leaf} AS leaf FROM raw WHERE {usable};

-- name: leaves -- one row per described entity, its last in the file
CREATE OR REPLACE TEMP TABLE leaf AS
SELECT good.* FROM good JOIN (SELECT leaf, max(row) AS row FROM good GROUP BY leaf) USING (leaf, row);

-- name: nodes
CREATE OR REPLACE TEMP TABLE node AS
SELECT (row_number() OVER ())::INTEGER - 1 AS number, * FROM ({nodes});

-- name: node
SELECT '{level}:' || ({id}) AS id, '{level}' AS level, {owner} AS owner,
       arg_max(({name})::VARCHAR, row) AS name, arg_max(({status})::VARCHAR, row) AS status,
       NULL::VARCHAR AS zone, arg_max(({currency})::VARCHAR, row) AS currency,
       arg_max({attributes}, row) AS attributes
FROM leaf WHERE {id} IS NOT NULL GROUP BY ALL

-- name: edge
SELECT '{child_level}:' || ({child}) AS child, '{slot}' AS slot,
       arg_max(coalesce('{slot}:' || ({parent}), {owner}), row) AS parent
FROM leaf WHERE {child} IS NOT NULL GROUP BY ALL

-- name: edges
SELECT c.number AS child, e.slot, p.number AS parent
FROM ({edges}) e JOIN node c ON c.id = e.child JOIN node p ON p.id = e.parent;

-- name: entities
SELECT id, level, owner, name, status, zone, currency, attributes FROM node ORDER BY number;

-- name: observations
SELECT n.number AS entity, {day} AS day, g.row{values}
FROM good g JOIN node n ON n.id = {entity};

-- name: sums -- the level above, where a file lists all of its parts
SELECT n.number AS entity, {day} AS day, max(g.row) AS row{values}
FROM good g JOIN node n ON n.id = {entity} WHERE {chosen} GROUP BY ALL;

-- name: merged -- several rows of one entity and day, each with some of its figures
SELECT n.number AS entity, {day} AS day, max(g.row) AS row{values}
FROM good g JOIN node n ON n.id = {entity} GROUP BY ALL;

-- name: kept
SELECT count(*) FROM good;

-- name: compared -- the file's own ratio beside the ratio of its own sums
CREATE OR REPLACE TEMP TABLE compared AS
SELECT row, {file} AS shown, {numerator} / nullif({denominator}, 0) AS made,
       {numerator} AS above, {denominator} AS below,
       length(regexp_replace(split_part({text}, '.', 2), '[^0-9]', '', 'g'))
           + CASE WHEN ends_with({text}, '%') THEN 2 ELSE 0 END AS decimals
FROM good WHERE {text} IS NOT NULL;

-- name: rounding -- half a unit of the last decimal, and whether the file writes per cent
WITH rounding AS (SELECT 0.5000001 * pow(10.0, -max(decimals)) + 1e-9 AS half FROM compared)
SELECT any_value(half) AS half,
       count(*) FILTER (abs(shown - 100 * made) <= half)
           > count(*) FILTER (abs(shown - made) <= half) AS percent
FROM compared, rounding;

-- name: ratio
SELECT count(*) FILTER (below > 0) AS rows,
       count(*) FILTER (abs(shown - $scale * made) > $half) AS different,
       coalesce(max(abs(shown - $scale * made)) FILTER (abs(shown - $scale * made) > $half), 0) AS worst,
       count(*) FILTER (below = 0 AND above > 0 AND shown = 0) AS zero_denominator
FROM compared;

-- name: ratio_examples
SELECT row, shown, $scale * made AS made FROM compared
WHERE abs(shown - $scale * made) > $half ORDER BY row LIMIT 5;

-- name: flag
SELECT count(*) FROM good WHERE {condition};

-- name: event_macros -- an instant as UTC microseconds; a time without offset is that of the named zone
CREATE OR REPLACE TEMP MACRO instant(x, zone) AS epoch_us(
    CASE WHEN regexp_matches(x, '\d{1,2}:\d\d.*(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)$')
         THEN TRY_CAST(x AS TIMESTAMPTZ)
         ELSE timezone(zone, coalesce(
             TRY_CAST(x AS TIMESTAMP),
             try_strptime(x, ['%d.%m.%Y %H:%M:%S', '%d.%m.%Y %H:%M', '%d-%m-%Y %H:%M:%S', '%m/%d/%Y %H:%M'])
         )) END
);

-- name: events -- the rows of a log that passed every check, in the order of the file
SELECT {selected} FROM raw WHERE NOT ({bad}) ORDER BY row;
