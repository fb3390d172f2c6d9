"""What programs of the lab's users do, started in the network of its engine.

Asked as `python -m tests.engine.consumers NAME` with JSON on standard input; answers with JSON.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import urllib3
from minio import Minio, S3Error

from layers.services.postgresql import DATABASES
from settings.foundation.object_store import BUCKETS


def store(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Consumer -> the buckets whose objects it may list; each other is refused to it."""
    pool = urllib3.PoolManager(ca_certs=given["ca"])
    found: dict[str, list[str]] = {}
    for consumer, keys in given["credentials"].items():
        client = Minio(given["address"], keys["access_key"], keys["secret_key"], http_client=pool)
        found[consumer] = []
        for bucket in BUCKETS:
            try:
                list(client.list_objects(bucket))
            except S3Error as error:
                assert error.code == "AccessDenied", error
            else:
                found[consumer].append(bucket)
    return found


def sql(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """User -> the databases that it may enter, over TLS by the lab's CA."""
    found: dict[str, list[str]] = {}
    for login in given["credentials"].values():
        user = found.setdefault(login["username"], [])
        for database in DATABASES:
            try:
                with psycopg.connect(
                    host="localhost",
                    port=given["port"],
                    user=login["username"],
                    password=login["password"],
                    dbname=database,
                    sslmode="verify-full",
                    sslrootcert=given["ca"],
                ) as connection:
                    row = connection.execute("SELECT current_user").fetchone()
                    assert row == (login["username"],)
            except psycopg.OperationalError as error:
                assert "permission denied for database" in str(error), error
            else:
                user.append(database)
    return found


def main() -> None:
    """Answer one question."""
    consumers: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {"store": store, "sql": sql}
    given = json.load(sys.stdin)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(given["ca"])
        file.flush()
        print(json.dumps(consumers[sys.argv[1]]({**given, "ca": file.name})))


if __name__ == "__main__":
    main()
