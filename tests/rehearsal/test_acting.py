"""Local providers that act: on commands of this machine, and on a real PostgreSQL."""

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from minio import Minio
from minio.error import S3Error
from pulumi.runtime.proto import provider_pb2

from layers.foundation.object_store import access_policy
from rehearsal import wire
from rehearsal.acting import Acting
from rehearsal.acts import minio as acts_on_store
from rehearsal.acts import postgresql
from rehearsal.acts import vault as acts_on_vault
from rehearsal.facts import WorldFacts
from rehearsal.rules import local, stores
from rehearsal.rules.docker import BUILD
from rehearsal.servers import serve
from rehearsal.world import World
from tests.harness import process
from tests.harness.minio import minio
from tests.harness.postgresql import PostgreSql
from tests.harness.postgresql import postgresql as server
from tests.harness.process import clean_environment, free_port, listens
from tests.harness.vault_api import VaultServer, openbao
from tests.rehearsal.client import Lab, Provider, RefusedByProviderError

pytestmark = pytest.mark.service
# Remembers its calls, and has an image once it was built.
DOCKER = """#!/bin/sh
echo "$DOCKER_HOST $*" >>{folder}/calls
case $1 in build) touch {folder}/made;; *) test -e {folder}/made;; esac
"""
ROLE = {"name": "worker", "login": False, "createRole": True}
DATABASE = {"name": "lake", "owner": "worker", "template": "template0", "encoding": "UTF8"}
CLOSED = {"database": "lake", "role": "public", "objectType": "database", "privileges": []}


@pytest.fixture(scope="module")
def acting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Providers that act, in a folder of their own."""
    folder = tmp_path_factory.mktemp("acting")
    world = World(facts=WorldFacts(folder=str(folder)))
    with pytest.MonkeyPatch.context() as patch, serve(world, folder / "bin", Acting) as ports:
        patch.setenv("GIVEN", "by the engine")
        yield Lab(world, ports)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSql]:
    """A server."""
    with server(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    """A server with the identity `deployer`, which may do anything."""
    with openbao(tmp_path_factory.mktemp("vault")) as running:
        root = running.client()
        root.sys.enable_auth_method("userpass")
        rule = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'
        root.sys.create_or_update_policy("everything", rule)
        root.auth.userpass.create_or_update_user("deployer", "its-password", "everything")
        yield running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store's address; its root is `root` with `of-the-root`."""
    folder, port = tmp_path_factory.mktemp("store"), free_port()
    environment = clean_environment(
        MINIO_ROOT_USER="root", MINIO_ROOT_PASSWORD="of-the-root", MINIO_SITE_REGION="eu-west-1"
    )
    command: list[str | Path] = [
        minio(),
        "server",
        folder / "data",
        "--address",
        f"127.0.0.1:{port}",
    ]
    ready = partial(listens, port)
    with process.server(command, ready, folder / "log", env=environment, cwd=folder):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def provider(acting: Lab, database: PostgreSql) -> Provider:
    """The provider of that server."""
    return acting.provider(
        "postgresql",
        host=database.host,
        port=str(database.port),
        username=database.user,
        password=database.password,
        sslmode="disable",
    )


def refreshed(
    provider: Provider, type_: str, id_: str, inputs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The inputs as the provider reads them back; None where the thing is gone."""
    request = provider_pb2.ReadRequest(
        urn=provider.urn(type_, "x"),
        id=id_,
        inputs=wire.struct(inputs),
        properties=wire.struct(inputs),
    )
    answer = provider.stub.Read(request)
    return wire.plain(answer.inputs) if answer.id else None


def test_an_image_is_built_once_as_the_program_says(
    acting: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By docker's own command, in the engine that the provider is told of."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER.format(folder=tmp_path))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    provider = acting.provider("docker", host="unix:///its/own.sock")
    folder = Path(acting.world.facts.folder)
    (folder / "app").mkdir()
    (folder / "app" / "Dockerfile").touch()
    inputs = {
        "imageName": "datalab/app:1",
        "skipPush": True,
        "build": {
            "context": "app",
            "dockerfile": "app/Dockerfile",
            "args": {"BASE": "base:1"},
            "addHosts": ["store:192.168.1.101"],
            "builderVersion": "BuilderBuildKit",
        },
    }
    made = provider.create(BUILD, "app", inputs)
    assert made.id == "datalab/app:1"
    provider.create(BUILD, "app", inputs)  # the engine has it
    calls = (tmp_path / "calls").read_text().splitlines()
    look = "unix:///its/own.sock image inspect --format {{.Id}} datalab/app:1"
    build = (
        "unix:///its/own.sock build --quiet --tag=datalab/app:1 --file=app/Dockerfile "
        "--network=host --add-host=store:192.168.1.101 --build-arg=BASE=base:1 app"
    )
    assert calls == [look, build, look]
    assert refreshed(provider, BUILD, made.id, inputs) == inputs
    (tmp_path / "made").unlink()
    assert refreshed(provider, BUILD, made.id, inputs) is None


def test_a_command_runs_in_the_projects_folder(acting: Lab, tmp_path: Path) -> None:
    provider = acting.provider("command")
    inputs = {
        "create": 'printf "%s %s %s" "$PWD" "$GIVEN" "$OWN"; cat; echo',
        "update": 'echo "was: $PULUMI_COMMAND_STDOUT" >now; cat now',
        "delete": "rm now",
        "environment": {"OWN": "its own"},
        "stdin": " and input",
    }
    made = provider.create(local.LOCAL, "x", inputs)
    folder = acting.world.facts.folder
    said = f"{folder} by the engine its own and input"
    assert wire.plain(made.properties)["stdout"] == said
    request = provider_pb2.UpdateRequest(
        urn=provider.urn(local.LOCAL, "x"),
        id=made.id,
        olds=made.properties,
        old_inputs=wire.struct(inputs),
        news=wire.struct(inputs),
    )
    again = provider.stub.Update(request)
    assert wire.plain(again.properties)["stdout"] == f"was: {said}"
    assert (Path(folder) / "now").exists()
    provider.delete(local.LOCAL, "x", made.id, inputs)
    assert not (Path(folder) / "now").exists()


def test_a_command_that_fails_fails_the_resource(acting: Lab) -> None:
    with pytest.raises(RefusedByProviderError, match="exit status 3:\nno such topic"):
        acting.provider("command").create(
            local.LOCAL, "x", {"create": "echo no such topic >&2; exit 3"}
        )


def test_a_preview_runs_nothing(acting: Lab, tmp_path: Path) -> None:
    file = tmp_path / "made"
    acting.provider("command").create(local.LOCAL, "x", {"create": f"touch {file}"}, preview=True)
    assert not file.exists()


def test_what_no_local_provider_acts_on_is_refused(acting: Lab) -> None:
    gitlab = acting.provider("gitlab", baseUrl="https://gitlab.test", earlyAuthCheck="false")
    request = provider_pb2.CheckRequest(
        urn=gitlab.urn("gitlab:index/project:Project", "x"), news=wire.struct({"name": "x"})
    )
    (failure,) = gitlab.stub.Check(request).failures
    assert "no local provider acts on gitlab:index/project:Project" in failure.reason


def test_roles_databases_and_grants_are_made_changed_and_removed(
    provider: Provider, database: PostgreSql
) -> None:
    with database.connect() as connection:
        role = provider.create(stores.ROLE, "worker", ROLE)
        login = {**ROLE, "name": "worker-login", "login": True, "createRole": False}
        login |= {"password": "of-the-login", "roles": ["worker"], "assumeRole": "worker"}
        provider.create(stores.ROLE, "login", login)
        made = provider.create(stores.DATABASE, "lake", DATABASE)
        closed = provider.create(postgresql.GRANT, "lake-public", CLOSED)
        assert (role.id, made.id) == ("worker", "lake")
        for inputs, type_, id_ in (
            *((ROLE, stores.ROLE, "worker"), (login, stores.ROLE, "worker-login")),
            *((DATABASE, stores.DATABASE, "lake"), (CLOSED, postgresql.GRANT, closed.id)),
        ):
            assert refreshed(provider, type_, id_, inputs) == inputs
        with database.connect("lake", "worker-login", "of-the-login") as own:
            assert own.execute("SELECT current_user").fetchone() == ("worker",)
        changed = {**login, "password": "another-one"}
        provider.update(stores.ROLE, "login", "worker-login", login, changed)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            database.connect("lake", "worker-login", "of-the-login")
        database.connect("lake", "worker-login", "another-one").close()
        # What somebody did by hand is seen.
        connection.execute('GRANT CONNECT ON DATABASE "lake" TO PUBLIC')
        connection.execute("ALTER ROLE worker NOCREATEROLE")
        read = refreshed(provider, postgresql.GRANT, closed.id, CLOSED)
        assert read == {**CLOSED, "privileges": ["CONNECT"]}
        assert refreshed(provider, stores.ROLE, "worker", ROLE) == {**ROLE, "createRole": False}
        provider.delete(postgresql.GRANT, "lake-public", closed.id, CLOSED)
        provider.delete(stores.DATABASE, "lake", "lake", DATABASE)
        provider.delete(stores.ROLE, "login", "worker-login", changed)
        provider.delete(stores.ROLE, "worker", "worker", ROLE)
        for inputs, type_, id_ in (
            *((ROLE, stores.ROLE, "worker"), (DATABASE, stores.DATABASE, "lake")),
            (CLOSED, postgresql.GRANT, closed.id),
        ):
            assert refreshed(provider, type_, id_, inputs) is None


def test_what_the_server_refuses_is_said_in_its_words(provider: Provider) -> None:
    with pytest.raises(RefusedByProviderError, match='role "nobody-here" does not exist'):
        provider.create(stores.DATABASE, "x", {"name": "x", "owner": "nobody-here"})


def test_mounts_policies_identities_and_records(acting: Lab, vault: VaultServer) -> None:
    login = json.dumps({"username": "deployer", "password": "its-password"})
    provider = acting.provider("vault", address=vault.address, authLoginUserpass=login)
    root: Any = vault.client()
    wanted: dict[str, dict[str, Any]] = {
        stores.MOUNT: {"path": "lab", "type": "kv-v2", "description": "records"},
        acts_on_vault.POLICY: {"name": "apps", "policy": 'path "lab/*" {}'},
        acts_on_vault.ENDPOINT: {
            "path": "auth/userpass/users/apps",
            "disableRead": True,
            "ignoreAbsentFields": True,
            "dataJson": json.dumps({"password": "of-the-apps", "token_policies": ["apps"]}),
        },
        stores.SECRET: {"mount": "lab", "name": "infra/x", "dataJson": '{"key": "value"}'},
    }
    made = {type_: provider.create(type_, "x", inputs).id for type_, inputs in wanted.items()}
    assert made[stores.SECRET] == "lab/data/infra/x"
    for type_, inputs in wanted.items():
        assert refreshed(provider, type_, made[type_], inputs) == inputs
    token = root.auth.userpass.login("apps", "of-the-apps", use_token=False)["auth"]
    assert token["policies"] == ["apps", "default"]
    # What somebody did by hand is seen, and what is changed is changed in place.
    root.secrets.kv.v2.create_or_update_secret("infra/x", {"key": "another"}, mount_point="lab")
    read = refreshed(provider, stores.SECRET, made[stores.SECRET], wanted[stores.SECRET])
    assert read == {**wanted[stores.SECRET], "dataJson": '{"key": "another"}'}
    policy = wanted[acts_on_vault.POLICY]
    changed = {**policy, "policy": 'path "lab/data/*" {}'}
    provider.update(acts_on_vault.POLICY, "x", "apps", policy, changed)
    assert root.read("sys/policies/acl/apps")["data"]["policy"] == changed["policy"]
    for type_, inputs in reversed(wanted.items()):
        provider.delete(type_, "x", made[type_], inputs)
    for type_ in (stores.MOUNT, acts_on_vault.POLICY):
        assert refreshed(provider, type_, made[type_], wanted[type_]) is None
    # No login's token outlives its call.
    tokens = root.list("auth/token/accessors")["data"]["keys"]
    assert len(tokens) == 2  # the root's and the one of the identity above


def test_a_wrong_password_is_said(acting: Lab, vault: VaultServer) -> None:
    login = json.dumps({"username": "deployer", "password": "wrong"})
    provider = acting.provider("vault", address=vault.address, authLoginUserpass=login)
    with pytest.raises(RefusedByProviderError, match="invalid username or password"):
        provider.create(acts_on_vault.POLICY, "x", {"name": "x", "policy": "path {}"})


def test_buckets_users_and_their_rights(acting: Lab, store: str) -> None:
    root = {"minioUser": "root", "minioPassword": "of-the-root", "minioRegion": "eu-west-1"}
    provider = acting.provider("minio", minioServer=store, **root)
    policy = json.dumps(access_policy("mlflow"))
    rules = [
        {"id": "old-versions", "noncurrentVersionExpirationDays": 30},
        {"id": "expire-gitlab", "filter": "gitlab/", "expiration": "7d"},
    ]
    attached = {"userName": "mlflow", "policyName": "mlflow"}
    wanted: list[tuple[str, dict[str, Any]]] = [
        (stores.BUCKET, {"bucket": "mlflow", "acl": "private"}),
        (
            acts_on_store.VERSIONING,
            {"bucket": "mlflow", "versioningConfiguration": {"status": "Enabled"}},
        ),
        (stores.LIFECYCLE, {"bucket": "mlflow", "rules": rules}),
        (stores.USER, {"name": "mlflow", "secret": "of-the-mlflow"}),
        (stores.POLICY, {"name": "mlflow", "policy": policy}),
        (acts_on_store.ATTACHMENT, attached),
    ]
    ids = [provider.create(type_, "x", inputs).id for type_, inputs in wanted]
    for (type_, inputs), id_ in zip(wanted, ids, strict=True):
        assert refreshed(provider, type_, id_, inputs) == inputs
    own = Minio(store, "mlflow", "of-the-mlflow", secure=False, region="eu-west-1")
    own.put_object("mlflow", "run/model", BytesIO(b"x"), 1)
    with pytest.raises(S3Error, match="AccessDenied"):
        own.make_bucket("another")
    # What somebody did by hand is seen; a new key counts at once.
    provider.delete(acts_on_store.ATTACHMENT, "x", ids[-1], attached)
    assert refreshed(provider, acts_on_store.ATTACHMENT, ids[-1], attached) is None
    with pytest.raises(S3Error, match="AccessDenied"):
        own.get_object("mlflow", "run/model")
    renewed = {"name": "mlflow", "secret": "another-key"}
    provider.update(stores.USER, "x", "mlflow", wanted[3][1], renewed)
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        own.get_object("mlflow", "run/model")
    with pytest.raises(RefusedByProviderError, match="BucketNotEmpty"):
        provider.delete(stores.BUCKET, "x", "mlflow", wanted[0][1])
    wanted[0][1]["forceDestroy"] = True
    for (type_, inputs), id_ in reversed([*zip(wanted[:-1], ids[:-1], strict=True)]):
        provider.delete(type_, "x", id_, inputs)
        if type_ != acts_on_store.VERSIONING:  # it cannot be off again, only suspended
            assert refreshed(provider, type_, id_, inputs) is None


def test_grants_on_one_database_at_once(provider: Provider, database: PostgreSql) -> None:
    """Without a lock PostgreSQL refuses some: "tuple concurrently updated"."""
    with database.connect() as connection:
        for number in range(8):
            connection.execute(f"CREATE ROLE user{number}")
    given = {"database": "postgres", "objectType": "database", "privileges": ["CONNECT"]}

    def grant(number: int) -> None:
        provider.create(postgresql.GRANT, f"g{number}", {**given, "role": f"user{number}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(grant, range(8)))
