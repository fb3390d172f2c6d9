"""The edge client and the catalogs, on a real PostgreSQL and S3."""

import csv
import io
import json

import pytest

from layers.services.postgresql import LAKEHOUSE as OWNER
from layers.services.postgresql import READER, SECURE
from tests.harness.lakehouse import PASSWORD, PLAN, Lakehouse

pytestmark = pytest.mark.service


def test_catalogs_are_made_once_and_kept(lake: Lakehouse) -> None:
    lake.edge("sql", "CREATE TABLE stage.main.kept AS SELECT * FROM range(20) t(i)")
    again = lake.python("-m", "datalab_edge.catalogs", json.dumps(PLAN)).stdout
    assert again.splitlines() == [f"catalog {name} is there" for name in PLAN]
    assert lake.ask("SELECT count(*) AS rows FROM stage.main.kept") == [{"rows": 20}]


def test_a_catalog_that_is_there_in_clear_is_not_said_to_be_encrypted(lake: Lakehouse) -> None:
    wrong = lake.python(
        "-m", "datalab_edge.catalogs", json.dumps({"marts": {"encrypted": True}}), check=False
    )
    assert wrong.returncode == 1
    assert "catalog marts: it is there and not encrypted" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_readers_see_tables_that_are_made_later_and_change_nothing(lake: Lakehouse) -> None:
    # Two rows: they stand in a table of PostgreSQL that was made after the grants.
    lake.edge("sql", "CREATE TABLE stage.main.later AS SELECT 7 AS x UNION ALL SELECT 8")
    reader = lake.as_role(READER, "stage", reads=True)
    assert reader.ask("SELECT sum(x) AS x FROM stage.main.later") == [{"x": 15}]
    refused = reader.edge("sql", "INSERT INTO stage.main.later VALUES (9)", check=False)
    assert refused.returncode == 1
    assert "read-only" in refused.stderr
    # Nor without DuckDB's own care: the role has no right to.
    writing = lake.as_role(READER, "stage").edge(
        "sql", "INSERT INTO stage.main.later VALUES (9)", check=False
    )
    assert writing.returncode == 1
    assert "permission denied" in writing.stderr


@pytest.mark.parametrize("role", [OWNER, READER])
def test_the_encrypted_catalog_is_only_its_own_roles(lake: Lakehouse, role: str) -> None:
    asked = lake.as_role(role, "secure_stage").edge("sql", "SELECT 1", check=False)
    assert asked.returncode == 1
    assert "secure_stage" in asked.stderr


def test_few_rows_of_the_encrypted_catalog_are_in_no_file_and_no_table_in_clear(
    lake: Lakehouse,
) -> None:
    """But for each file's smallest and largest values, which are in the catalog (edge/README.md).

    Rows this few would be in a table of PostgreSQL otherwise.
    """
    secret = "nobody-may-read-this-7391"
    lake.edge(
        "sql",
        "CREATE TABLE secure_stage.main.hidden AS "
        f"SELECT 'begins' AS text, i FROM range(3) t(i) UNION ALL SELECT '{secret}', 9 "
        "UNION ALL SELECT 'zzz', 10",
    )
    assert lake.ask("SELECT count(*) AS n FROM secure_stage.main.hidden") == [{"n": 5}]
    found = [
        path
        for path in (lake.folder / "store").rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert found == []
    with lake.database.connect("lakehouse") as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'secure_stage'"
        ).fetchall()
        for schema, name in tables:
            rows = connection.execute(f"SELECT t::text FROM {schema}.{name} AS t").fetchall()
            assert not [row for row in rows if secret in row[0]], name


def test_rows_as_json_and_csv_keep_what_they_are(lake: Lakehouse) -> None:
    query = (
        "SELECT 1 AS whole, 0.5::DOUBLE AS part, 1.25::DECIMAL(5,2) AS money, 'é\"' AS text, "
        "NULL AS nothing, TIMESTAMP '2026-01-02 03:04:05' AS at, [1, 2] AS list, "
        "{'a': 'b'} AS struct, 'NaN'::DOUBLE AS nan, '2026-01-02 03:04:05+00'::TIMESTAMPTZ AS zone"
    )
    (row,) = lake.ask(query)
    assert row["zone"].startswith("2026-01-0")
    del row["zone"]
    assert row == {
        "whole": 1,
        "part": 0.5,
        "money": 1.25,
        "text": 'é"',
        "nothing": None,
        "at": "2026-01-02T03:04:05",
        "list": [1, 2],
        "struct": {"a": "b"},
        "nan": None,
    }
    (cells,) = csv.DictReader(io.StringIO(lake.edge("sql", "--csv", query).stdout))
    assert (cells["whole"], cells["text"], cells["list"]) == ("1", 'é"', "[1, 2]")
    assert "03:04:05" in lake.edge("sql", "SELECT TIMESTAMP '2026-01-02 03:04:05' AS t").stdout


def test_status_counts_rows_and_files(lake: Lakehouse) -> None:
    lake.edge("sql", "CREATE TABLE marts.main.counted AS SELECT * FROM range(1500) t(i)")
    said = lake.edge("status").stdout
    (line,) = (line.split() for line in said.splitlines() if line.startswith("main.counted"))
    assert line[1:3] == ["1,500", "1"]
    assert "lake writer: the credentials do not say where it is" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sql", "SELECT * FROM stage.main.nothing"), "nothing does not exist"),
        (("maintain",), "the credentials do not say where the lake writer is"),
        (("notebook", "x.py"), "pip install 'datalab-edge[notebook]'"),
        (("--credentials", "/nonexistent", "status"), "/nonexistent: No such file"),
    ],
)
def test_a_mistake_has_a_message_and_no_traceback(
    lake: Lakehouse, words: tuple[str, ...], said: str
) -> None:
    done = lake.edge(*words, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_credentials_are_named_and_not_shown(lake: Lakehouse) -> None:
    wrong = lake.with_document(
        catalogs={"stage": {"user": OWNER, "pasword": PASSWORD}}, postgresql={"host": ""}
    ).edge("status", check=False)
    assert wrong.returncode == 1
    for key in ("catalogs.stage.pasword", "catalogs.stage.password", "postgresql.host"):
        assert key in wrong.stderr
    assert PASSWORD not in wrong.stderr
    other = lake.with_document(catalogs={"stage": {"user": SECURE, "password": "no"}})
    refused = other.edge("sql", "SELECT 1", check=False)
    assert refused.returncode == 1
    assert "password authentication failed" in refused.stderr
