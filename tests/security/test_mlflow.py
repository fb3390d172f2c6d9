"""Nobody reads or changes MLflow without a login, and with one nobody leaves its artifact store."""

import json
from collections.abc import Iterator

import httpx
import pytest

from settings.services.mlflow import ADMIN, READER
from tests.harness.mlflow import ADMINS_PASSWORD, READERS_PASSWORD, mlflow

pytestmark = pytest.mark.service

API = "/api/2.0/mlflow"
PERSON = ("ann", "password-of-ann")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a model of the administrator's, and one more user."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "secret").write_text("a key of the server's")
    with mlflow(folder) as address:
        with client(address, ADMIN, ADMINS_PASSWORD) as admin:
            new = {"username": PERSON[0], "password": PERSON[1]}
            admin.post("/api/2.0/mlflow/users/create", json=new).raise_for_status()
            run = run_of(admin)
            version = {"name": "theirs", "source": run["artifact_uri"], "run_id": run["run_id"]}
            for route, body in (
                ("registered-models/create", {"name": "theirs"}),
                ("model-versions/create", version),
            ):
                admin.post(f"{API}/{route}", json=body).raise_for_status()
        yield address


def client(url: str, *login: str) -> httpx.Client:
    return httpx.Client(base_url=url, auth=login or None, timeout=60)  # type: ignore[arg-type]


def run_of(admin: httpx.Client) -> dict[str, str]:
    """A new run of the administrator's."""
    answer = admin.post(f"{API}/runs/create", json={"experiment_id": "0"})
    info: dict[str, str] = answer.raise_for_status().json()["run"]["info"]
    return info


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{API}/experiments/search?max_results=1"),
        ("POST", f"{API}/experiments/create"),
        ("POST", "/ajax-api/2.0/mlflow/experiments/create"),
        ("POST", "/api/2.0/preview/mlflow/experiments/create"),
        ("POST", f"{API}/registered-models/create"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/evil"),
        ("GET", "/get-artifact?run_uuid=x&path=y"),
        ("GET", "/model-versions/get-artifact?name=theirs&version=1&path=x"),
        ("POST", "/graphql"),
        ("POST", f"{API}/users/create"),
        ("POST", "/v1/traces"),
        ("GET", "/"),
        ("GET", "/version"),
        ("GET", "/metrics"),
        ("GET", "/signup"),
    ],
)
def test_without_a_login_nothing_is_told_or_taken(url: str, method: str, path: str) -> None:
    with client(url) as stranger:
        assert stranger.request(method, path, json={"name": "x"}).status_code == 401


# What older releases came with, another's password, nobody, and what Basic can hold besides.
@pytest.mark.parametrize(
    "login",
    [(ADMIN, "password1234"), (ADMIN, PERSON[1]), ("nobody", PERSON[1]), ("", ""), (ADMIN, "")],
)
def test_a_wrong_login_is_none(url: str, login: tuple[str, str]) -> None:
    with client(url, *login) as stranger:
        assert stranger.get(f"{API}/experiments/search?max_results=1").status_code == 401


def test_what_is_told_to_everybody_is_no_secret(url: str) -> None:
    with client(url) as stranger:
        assert stranger.get("/health").text == "OK"
        told = stranger.get("/api/3.0/mlflow/server-info")
        assert told.status_code == 200
        assert "sqlite" not in told.text


LOCATIONS = (
    *("file:///{folder}", "FILE:///{folder}", " file:///{folder}", "/{folder}", "{folder}", "./x"),
    *("s3://other/x", "proxied-s3://other/x", "s3://mlflow/artifacts", "https://evil.test/x"),
    *("ftp://evil.test/x", "runs:/x", "models:/theirs/1", "dbfs:/x", "gs://other"),
)


@pytest.mark.parametrize("location", LOCATIONS)
def test_an_experiment_has_its_artifacts_in_the_servers_store(url: str, location: str) -> None:
    wanted = location.format(folder="run/secrets")
    with client(url, *PERSON) as person:
        for number, body in enumerate(
            (
                {"name": "x", "artifact_location": wanted},
                {"name": "x", "artifactLocation": wanted},
                {"name": "x", "artifact_location": wanted, "tags": "no list"},
                json.dumps({"name": "x", "artifact_location": wanted}),
            )
        ):
            answer = person.post(f"{API}/experiments/create", json=body)
            assert answer.status_code == 400, (number, answer.text)
        found = person.get(f"{API}/experiments/get-by-name", params={"experiment_name": "x"})
        assert found.status_code == 404


def test_who_chooses_nothing_or_the_servers_store_may(url: str) -> None:
    with client(url, *PERSON) as person:
        for body in (
            {"name": "plain"},
            {"name": "own", "artifact_location": "mlflow-artifacts:/own"},
        ):
            assert person.post(f"{API}/experiments/create", json=body).status_code == 200


@pytest.mark.parametrize("source", ["https://evil.test/model", "s3://other/model", "file:///run"])
def test_a_version_comes_from_the_servers_store(url: str, source: str) -> None:
    with client(url, *PERSON) as person:
        person.post(f"{API}/registered-models/create", json={"name": "mine"})
        wanted = {"name": "mine", "source": source}
        assert person.post(f"{API}/model-versions/create", json=wanted).status_code == 400


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        (
            "POST",
            "registered-models/alias",
            {"name": "theirs", "alias": "champion", "version": "1"},
        ),
        ("POST", "model-versions/create", {"name": "theirs", "source": "models:/theirs/1"}),
        ("DELETE", "registered-models/delete", {"name": "theirs"}),
        ("PATCH", "registered-models/update", {"name": "theirs", "description": "x"}),
        ("POST", "runs/create", {"experiment_id": "0"}),
        ("POST", "experiments/delete", {"experiment_id": "0"}),
        ("PATCH", "users/update-password", {"username": ADMIN, "password": "password-of-ann"}),
        ("PATCH", "users/update-admin", {"username": PERSON[0], "is_admin": True}),
        ("DELETE", "users/delete", {"username": READER}),
    ],
)
@pytest.mark.parametrize("login", [PERSON, (READER, READERS_PASSWORD)])
def test_what_is_of_another_is_not_changed(
    url: str, method: str, route: str, body: dict[str, object], login: tuple[str, str]
) -> None:
    with client(url, *login) as other:
        answer = other.request(method, f"{API}/{route}", json=body)
        assert answer.status_code == 403, answer.text


def test_who_may_make_users_and_change_passwords(url: str) -> None:
    with client(url, *PERSON) as person, client(url, ADMIN, ADMINS_PASSWORD) as admin:
        new = {"username": "eve", "password": "password-of-eve"}
        assert person.post(f"{API}/users/create", json=new).status_code == 403
        assert admin.get("/signup").status_code == 200
        assert admin.post(f"{API}/users/create", json=new).status_code == 200
        with client(url, *new.values()) as eve:
            new |= {"current_password": new["password"], "password": "another-password-of-eve"}
            assert eve.patch(f"{API}/users/update-password", json=new).status_code == 200
            assert eve.get(f"{API}/experiments/search?max_results=1").status_code == 401
        with client(url, new["username"], new["password"]) as eve:
            assert eve.get(f"{API}/experiments/search?max_results=1").status_code == 200


def test_artifacts_of_another_are_not_overwritten(url: str) -> None:
    with client(url, ADMIN, ADMINS_PASSWORD) as admin, client(url, *PERSON) as person:
        _, _, path = run_of(admin)["artifact_uri"].partition(":/")
        where = f"/api/2.0/mlflow-artifacts/artifacts/{path.lstrip('/')}/MLmodel"
        assert admin.put(where, content=b"good").status_code == 200
        assert person.put(where, content=b"evil").status_code == 403
        assert person.get(where).content == b"good"
        for climb in ("../secret", "%2e%2e/secret", "..%2fsecret", "%252e%252e%252fsecret"):
            answer = person.get(f"/api/2.0/mlflow-artifacts/artifacts/{climb}")
            assert b"a key" not in answer.content
            assert answer.status_code >= 400
