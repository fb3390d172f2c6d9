"""MLflow with the very environment of its container, on PostgreSQL and S3 over the lab's TLS."""

import subprocess
from configparser import ConfigParser
from pathlib import Path

import httpx
import psycopg
import pytest

from layers.services.mlflow import CA, SECRETS, USERS
from settings.services.mlflow import ADMIN, READER
from tests.harness.certificates import Authority
from tests.harness.mlflow import MLFLOW, login, mlflow, programs
from tests.harness.process import clean_environment
from tests.harness.s3 import S3, s3
from tests.layers.containers import container, files, variables, world
from tests.layers.services.running import connect, running

CLIENT = """
import mlflow
with mlflow.start_run():
    mlflow.log_param("answer", 42)
    mlflow.log_text("x" * 100_000, "deep/text.txt")
    uri = mlflow.get_artifact_uri("deep/text.txt")
assert len(mlflow.artifacts.load_text(uri)) == 100_000
"""
BUCKET = """
import boto3, sys
store = boto3.client("s3", endpoint_url=sys.argv[1])
if sys.argv[2] == "make":
    store.create_bucket(Bucket="mlflow")
else:
    print(*(found["Key"] for found in store.list_objects_v2(Bucket="mlflow")["Contents"]))
"""


def python(code: str, *arguments: str, env: dict[str, str]) -> str:
    command = [str(programs(MLFLOW) / "python"), "-c", code, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def moved(folder: Path, database: int, store: S3) -> dict[str, str]:
    """The container's variables and files, for this test's servers and folder."""
    inputs = container(world("dev")["services"], "mlflow")
    for path, name in ((f"{SECRETS}pgpass", "pgpass"), (f"{SECRETS}aws", "aws"), (CA, "ca.crt")):
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(files(inputs)[path]["content"])
        (folder / name).chmod(0o400)
    found = variables(inputs)
    address, users = found["MLFLOW_BACKEND_STORE_URI"], files(inputs)[USERS]["content"]
    for before, after in (
        ("@postgresql:5432", f"@localhost:{database}"),
        (SECRETS, f"{folder}/"),
        (CA, f"{folder}/ca.crt"),
    ):
        assert before in address
        assert before in users
        address, users = address.replace(before, after), users.replace(before, after)
    (folder / "own.ini").write_text(users)
    (folder / "aws").chmod(0o600)
    (folder / "aws").write_text(
        f"[default]\naws_access_key_id = {store.access_key}\n"
        f"aws_secret_access_key = {store.secret_key}\n"
    )
    return {
        **found,
        "MLFLOW_BACKEND_STORE_URI": address,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "own.ini"),
        "MLFLOW_S3_ENDPOINT_URL": store.url,
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws"),
        "AWS_CA_BUNDLE": str(folder / "ca.crt"),
    }


@pytest.mark.service
def test_runs_and_artifacts_go_through_the_server_alone(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "pg").mkdir()
    pair = authority.server("postgresql")
    with (
        running(tmp_path / "pg", authority, pair, "admin-password") as port,
        s3(tmp_path, authority.server("store")) as store,
    ):
        own = moved(tmp_path, port, store)
        (tmp_path / "ca.crt").chmod(0o600)
        (tmp_path / "ca.crt").write_text(authority.pem)
        password = (tmp_path / "pgpass").read_text().strip().rpartition(":")[2]
        with connect(tmp_path / "pg", port, "admin-password", "verify-full") as session:
            session.execute(f"CREATE ROLE mlflow LOGIN PASSWORD '{password}'")
            session.execute("CREATE DATABASE mlflow OWNER mlflow")
        keys = {name: value for name, value in own.items() if name.startswith("AWS_")}
        python(BUCKET, store.url, "make", env=clean_environment(**keys))
        before, known = "", tmp_path / "own.ini"
        for number in range(2):  # a restarted container finds its tables, and takes a new password
            users = ConfigParser(interpolation=None)
            users.read_string(known.read_text())
            users["mlflow"]["admin_password"] += str(number)
            with known.open("w") as file:
                users.write(file)
            with mlflow(tmp_path, own) as uri:
                logins = {ADMIN: users["mlflow"]["admin_password"], READER: users["users"][READER]}
                client = clean_environment(
                    MLFLOW_TRACKING_URI=uri, HOME=str(tmp_path), **login(ADMIN, logins[ADMIN])
                )
                python(CLIENT, env=client)
                path = f"{uri}/api/2.0/mlflow/experiments/search?max_results=1"
                for one in logins.items():
                    for host, status in (("mlflow:5000", 200), ("mlflow", 200), ("evil.test", 403)):
                        answer = httpx.get(path, headers={"Host": host}, auth=one)
                        assert answer.status_code == status, (one[0], host)
                assert httpx.get(path, auth=(ADMIN, before)).status_code == 401
                before = logins[ADMIN]
        kept = python(BUCKET, store.url, "list", env=clean_environment(**keys)).split()
        assert len([key for key in kept if key.endswith("/deep/text.txt")]) == 2
        assert all(key.startswith("artifacts/") for key in kept)
        with psycopg.connect(
            host="127.0.0.1", port=port, user="mlflow", dbname="mlflow", password=password
        ) as session:
            counted = session.execute("SELECT count(*) FROM runs").fetchone()
            assert counted == (2,)
