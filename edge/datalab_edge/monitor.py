"""How models do, per day: what the lake has of their answers, as numbers in a table of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from importlib.util import find_spec
from itertools import islice
from typing import Any

import duckdb

from datalab_edge import drift
from datalab_edge.lake import identifier
from datalab_edge.output import table
from datalab_edge.programs import MissingError

# Where the lake writer puts events, and where the numbers go: they name nobody, so not encrypted.
EVENTS, SCHEMA = "secure_stage.main", "stage.monitoring"
DAYS, REFERENCE = 7, 1000
# Of a day; more answers tell no more.
SAMPLE = 2000


@dataclass(frozen=True)
class Day:
    """What is known of a model's answers of one day (UTC)."""

    day: date
    model_name: str
    model_version: str
    requests: int
    prediction_mean: float | None
    prediction_ks: float | None
    prediction_ks_p: float | None
    feature_auc: float | None
    estimated_accuracy: float | None
    feedback: int
    feedback_mean: float | None
    brier: float | None


NAMES = tuple(field.name for field in fields(Day))
TABLE = f"""
CREATE TABLE IF NOT EXISTS {SCHEMA}.stats (
    day DATE, model_name VARCHAR, model_version VARCHAR,
    requests BIGINT, prediction_mean DOUBLE,
    prediction_ks DOUBLE, prediction_ks_p DOUBLE, feature_auc DOUBLE, estimated_accuracy DOUBLE,
    feedback BIGINT, feedback_mean DOUBLE, brier DOUBLE
)"""
# The newest feedback that is a number: people change their minds.
SCORES = f"""
SELECT inference_uuid, arg_max(score, created_at) AS score
FROM {EVENTS}.inference_feedback WHERE score IS NOT NULL GROUP BY 1"""
COUNTS = f"""
SELECT created_at::DATE AS day, model_name, model_version, count(*),
    avg(prediction) FILTER (WHERE isfinite(prediction)), count(score), avg(score)
FROM {EVENTS}.inference_events LEFT JOIN ({SCORES}) USING (inference_uuid)
WHERE created_at::DATE IN (
    SELECT DISTINCT created_at::DATE AS day FROM {EVENTS}.inference_events
    ORDER BY day DESC LIMIT $days
)
GROUP BY ALL ORDER BY ALL"""
ROWS = f"""
SELECT data, prediction, outputs, score, created_at
FROM {EVENTS}.inference_events LEFT JOIN ({SCORES}) USING (inference_uuid)
WHERE model_name = $name AND model_version = $version"""


def monitor(
    connection: duckdb.DuckDBPyConnection, days: int = DAYS, reference: int = REFERENCE
) -> list[Day]:
    """Compute the newest days that have answers, and put them in place of what the table had.

    A day is compared with the first answers of the same version, as many as `reference`.
    """
    if find_spec("sklearn") is None or find_spec("scipy") is None:
        raise MissingError("statistics are an extra: pip install 'datalab-edge[monitor]'")
    found = list(_days(connection, days, reference))
    _keep(connection, found)
    return found


def page(found: Sequence[Day]) -> str:
    """For people: a line for each day of a model."""
    rows = [
        [f"{value:.3f}" if isinstance(value, float) else value for value in astuple(one)]
        for one in found
    ]
    return table(NAMES, rows) if rows else f"{EVENTS}.inference_events has no answers yet"


def _days(connection: duckdb.DuckDBPyConnection, days: int, reference: int) -> Iterator[Day]:
    first: dict[tuple[str, str], tuple[list[drift.Answer], datetime | None]] = {}
    for row in connection.execute(COUNTS, {"days": days}).fetchall():
        day, name, version, requests, mean, feedback, score = row
        model = {"name": name, "version": version}
        if (name, version) not in first:
            first[name, version] = _first(connection, model, reference)
        before, until = first[name, version]
        sampled = _answers(
            connection,
            "AND created_at >= $day AND created_at < $day + INTERVAL 1 DAY "
            "ORDER BY hash(inference_uuid) LIMIT $most",
            {**model, "day": day, "most": SAMPLE},
        )
        now = [answer for _, answer in sampled]
        # Answers of the reference cannot drift from it.
        new = [answer for at, answer in sampled if until is not None and at > until]
        distance, chance = drift.prediction_drift(before, new)
        yield Day(
            day=day,
            model_name=name,
            model_version=version,
            requests=requests,
            prediction_mean=mean,
            prediction_ks=distance,
            prediction_ks_p=chance,
            feature_auc=drift.feature_drift(before, new),
            estimated_accuracy=drift.estimated_accuracy(before, now),
            feedback=feedback,
            feedback_mean=score,
            brier=drift.brier(now),
        )


def _first(
    connection: duckdb.DuckDBPyConnection, model: dict[str, str], reference: int
) -> tuple[list[drift.Answer], datetime | None]:
    """The reference, and when it ended; None where there is none yet."""
    found = _answers(
        connection, "ORDER BY created_at, inference_uuid LIMIT $most", {**model, "most": reference}
    )
    until = found[-1][0] if len(found) == reference else None
    return [answer for _, answer in found], until


def _answers(
    connection: duckdb.DuckDBPyConnection, which: str, values: dict[str, Any]
) -> list[tuple[datetime, drift.Answer]]:
    """With their moments; not more of them than events, as each may have thousands of rows."""
    rows = connection.execute(f"{ROWS} {which}", values)
    found = (
        (row[-1], answer)
        for row in iter(rows.fetchone, None)
        for answer in drift.answers(*row[:-1])
    )
    return list(islice(found, values["most"]))


def _keep(connection: duckdb.DuckDBPyConnection, found: Sequence[Day]) -> None:
    """In one transaction: a reader sees the former numbers or these."""
    catalog, schema = SCHEMA.split(".")
    marks = ", ".join("?" * len(NAMES))
    with connection.cursor() as cursor:
        cursor.begin()
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{identifier(schema)}")
        cursor.execute(TABLE)
        if found:
            cursor.execute(f"DELETE FROM {SCHEMA}.stats WHERE day >= ?", [found[0].day])
            cursor.executemany(
                f"INSERT INTO {SCHEMA}.stats VALUES ({marks})",
                [list(astuple(one)) for one in found],
            )
        cursor.commit()
