-- Messages of the topic of results -> rows of inference_events, each with the reason why it is none.
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
        '{"inference_uuid": "JSON", "model": "JSON", "data": "JSON", "prediction": "JSON",
          "created_at": "JSON"}'
    ) AS f
    FROM parsed
), columns AS (
    SELECT
        message_offset, value, json, f,
        f.inference_uuid ->> '$' AS inference_uuid,
        f.model ->> '$.name' AS model_name,
        f.model ->> '$.version' AS model_version,
        CASE WHEN json_type(f.prediction) IN ('UBIGINT', 'BIGINT', 'DOUBLE')
            THEN try_cast(f.prediction AS DOUBLE) END AS prediction,
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
        WHEN json_type(f.model, '$.name') IS DISTINCT FROM 'VARCHAR'
            OR length(model_name) NOT BETWEEN 1 AND 250
            OR contains(model_name, chr(0))
            THEN 'model.name is not a text of 1 to 250 characters'
        WHEN coalesce(json_type(f.model, '$.version'), '') NOT IN ('VARCHAR', 'UBIGINT')
            OR length(model_version) NOT BETWEEN 1 AND 250
            OR contains(model_version, chr(0))
            THEN 'model.version is not a text of 1 to 250 characters, nor a number'
        WHEN f.data IS NULL THEN 'data is missing'
        WHEN f.prediction IS NULL THEN 'prediction is missing'
        WHEN coalesce(created_us, -1) NOT BETWEEN {earliest_us} AND {latest_us}
            THEN 'created_at is not in microseconds since 1970, of the years 2000 to 2099'
    END AS reason,
    CASE WHEN reason IS NOT NULL THEN encode(value) END AS value,
    inference_uuid,
    model_name,
    model_version,
    f.data AS data,
    prediction,
    CASE WHEN prediction IS NULL THEN f.prediction END AS outputs,
    nullif(json_merge_patch(json, '{"inference_uuid": null, "model": null, "data": null,
        "prediction": null, "created_at": null}')::VARCHAR, '{}')::JSON AS details,
    CASE WHEN reason IS NULL THEN make_timestamp(created_us) END AS created_at
FROM columns;
