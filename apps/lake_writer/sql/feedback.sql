-- Messages of the topic of feedback -> rows of inference_feedback, each with the reason why it is
-- none.
INSERT INTO {table}
WITH raw AS (
    SELECT
        unnest(string_split($offsets, ','))::BIGINT AS message_offset,
        unnest(string_split($values, chr(30))) AS value
), parsed AS (
    SELECT message_offset, value, try_cast(value AS JSON) AS json
    FROM raw
), fields AS (
    SELECT *, from_json(
        CASE WHEN json_type(json) = 'OBJECT' THEN json END,
        '{"inference_uuid": "JSON", "feedback": "JSON", "created_at": "JSON"}'
    ) AS f
    FROM parsed
), columns AS (
    SELECT
        message_offset, value, json, f,
        f.inference_uuid ->> '$' AS inference_uuid,
        CASE WHEN json_type(f.created_at) IN ('UBIGINT', 'BIGINT')
            THEN try_cast(f.created_at AS BIGINT) END AS created_us
    FROM fields
)
SELECT
    $partition AS partition,
    message_offset,
    CASE
        WHEN json IS NULL THEN 'not JSON'
        WHEN json_type(json) <> 'OBJECT' THEN 'not a JSON object'
        WHEN json_type(f.inference_uuid) IS DISTINCT FROM 'VARCHAR'
            OR length(inference_uuid) NOT BETWEEN 1 AND 250
            OR contains(inference_uuid, chr(0))
            THEN 'inference_uuid is not a text of 1 to 250 characters'
        WHEN f.feedback IS NULL THEN 'feedback is missing'
        WHEN coalesce(created_us, -1) NOT BETWEEN {earliest_us} AND {latest_us}
            THEN 'created_at is not in microseconds since 1970, of the years 2000 to 2099'
    END AS reason,
    CASE WHEN reason IS NOT NULL THEN encode(value) END AS value,
    inference_uuid,
    CASE WHEN json_type(f.feedback) IN ('UBIGINT', 'BIGINT', 'DOUBLE')
        THEN try_cast(f.feedback AS DOUBLE) END AS score,
    f.feedback AS feedback,
    CASE WHEN reason IS NULL THEN make_timestamp(created_us) END AS created_at
FROM columns;
