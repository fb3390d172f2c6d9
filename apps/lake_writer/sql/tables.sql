-- The writer's tables, in one transaction, in the catalog that it uses. A second writer that makes
-- them at the same time is refused at its commit.
CREATE TABLE {schema}.inference_events (
    inference_uuid VARCHAR,
    model_name VARCHAR,
    model_version VARCHAR,
    data JSON,
    prediction DOUBLE,   -- where it is one number
    outputs JSON,        -- where it is anything else
    details JSON,        -- what else the event says
    created_at TIMESTAMP -- UTC
);
ALTER TABLE {schema}.inference_events SET PARTITIONED BY (year(created_at), month(created_at));

CREATE TABLE {schema}.inference_feedback (
    inference_uuid VARCHAR,
    score DOUBLE,        -- where it is a number
    feedback JSON,
    created_at TIMESTAMP
);
ALTER TABLE {schema}.inference_feedback SET PARTITIONED BY (year(created_at), month(created_at));

-- What could not be read, as it came.
CREATE TABLE {schema}.inference_rejected (
    topic VARCHAR,
    partition INTEGER,
    message_offset BIGINT,
    reason VARCHAR,
    value BLOB,
    rejected_at TIMESTAMP
);

-- Up to where each partition is in the lake. Each commit updates every row, so that of two writers
-- one is refused; with rows that are only added both would commit, and the data be there twice.
CREATE TABLE {schema}.inference_offsets (
    topic VARCHAR,
    topic_id VARCHAR,    -- another one: the topic was deleted and made again
    partition INTEGER,
    next_offset BIGINT,
    lost BIGINT,         -- messages that Kafka deleted before they were read
    commits BIGINT,
    committed_at TIMESTAMP
);

-- As the original lab's table had it. Feedback that comes before its inference waits in its table.
CREATE VIEW {schema}.inference_results AS
SELECT
    e.inference_uuid,
    e.model_name,
    e.model_version,
    e.data,
    e.prediction,
    f.feedback,
    e.created_at
FROM {schema}.inference_events AS e
LEFT JOIN (
    SELECT inference_uuid, list(score ORDER BY created_at) AS feedback
    FROM {schema}.inference_feedback
    WHERE score IS NOT NULL
    GROUP BY inference_uuid
) AS f ON f.inference_uuid = e.inference_uuid;
