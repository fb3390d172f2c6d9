"""`provision postgres` against a real PostgreSQL and a real Vault API."""

import re
import sys
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from provision import postgres
from tests.provision.lab import LAB_PROJECT, Lab

pytestmark = pytest.mark.service

OTHER = 43


def record(servers: Lab, name: str, project: int = 42) -> dict[str, Any]:
    return servers.read(f"projects/{project}/postgres/{name}")


def login(servers: Lab, found: dict[str, Any]) -> psycopg.Connection:
    return servers.postgres.connect(found["DB_NAME"], found["DB_USER"], found["DB_PASS"])


def catalogue(servers: Lab) -> list[Any]:
    """Everything that provisioning could change on the server."""
    with servers.postgres.connect() as connection:
        return [
            connection.execute(query).fetchall()
            for query in (
                "SELECT rolname, rolpassword, rolcanlogin FROM pg_authid ORDER BY 1",
                "SELECT datname, datdba, datacl::text FROM pg_database ORDER BY 1",
                "SELECT roleid, member, admin_option FROM pg_auth_members ORDER BY 1, 2",
            )
        ]


def test_database_is_usable_by_its_user(servers: Lab) -> None:
    words = servers.ask(42, "postgres", database="usable", user="usable_user")
    code, output = servers.run(*words)
    assert code == 0, output
    found = record(servers, "usable")
    assert (found["DB_NAME"], found["DB_USER"]) == ("usable", "usable_user")
    with login(servers, found) as connection:
        # PostgreSQL >= 15 gives CREATE on schema public to the owner only.
        connection.execute("CREATE TABLE t (a int); CREATE SCHEMA s; CREATE TABLE s.t (a int)")


def test_second_run_changes_nothing(servers: Lab) -> None:
    words = servers.ask(42, "postgres", database="twice", user="twice")
    assert servers.run(*words)[0] == 0
    first, before = record(servers, "twice"), catalogue(servers)
    code, output = servers.run(*words)
    assert (code, "nothing to do" in output) == (0, True), output
    assert record(servers, "twice") == first  # the version too
    assert catalogue(servers) == before


def test_fifty_identical_requests_at_once(servers: Lab) -> None:
    words = servers.ask(42, "postgres", database="fifty", user="fifty")
    processes = [servers.start(*words) for _ in range(50)]
    results = [servers.finish(process) for process in processes]
    assert [code for code, _ in results] == [0] * 50, results
    created = [output for _, output in results if "created database fifty" in output]
    assert len(created) == 1
    found = record(servers, "fifty")
    assert found["version"] == 1
    login(servers, found).close()


def test_a_kill_at_any_step_is_repaired_by_the_next_run(servers: Lab) -> None:
    names = []
    for name in servers.kill_everywhere("postgres", lambda name: {"database": name, "user": name}):
        names.append(name)
        with login(servers, record(servers, name)) as connection:
            connection.execute("CREATE TABLE t (a int)")
    assert len(names) > 15, "fewer steps than the work has: the killer counts nothing"


@pytest.mark.parametrize(
    "name",
    [
        'a"; DROP DATABASE mlflow; --',
        "a'b",
        "a;b",
        "größe",
        "a" * 64,
        "Upper",
        "a b",
        "a\nb",
        "",
        "1a",
        "a-b",
        "$(id)",
        "pg_catalog",
        "postgres",
        "template1",
        "public",
        "none",
        "\uff41",
    ],
)
def test_hostile_names_are_refused_before_anything_is_touched(servers: Lab, name: str) -> None:
    before = catalogue(servers)
    for field, spec in (
        ("database", {"database": name, "user": "fine"}),
        ("user", {"database": "fine", "user": name}),
    ):
        code, output = servers.run(*servers.ask(42, "postgres", **spec))
        assert code == 2, output
        assert f"postgres.{field}:" in output
        assert "Traceback" not in output
    assert catalogue(servers) == before


@pytest.mark.parametrize("name", ["select", "user", "table", "current_user", "a" * 63, "_"])
def test_words_of_sql_are_names_like_any_other(servers: Lab, name: str) -> None:
    code, output = servers.run(*servers.ask(42, "postgres", database=name, user=name))
    assert code == 0, output
    with login(servers, record(servers, name)) as connection:
        connection.execute("CREATE TABLE t (a int)")


@pytest.mark.parametrize("change", ["PASSWORD 'changed'", "PASSWORD NULL", "NOLOGIN"])
def test_what_was_changed_behind_its_back_is_set_right(servers: Lab, change: str) -> None:
    words = servers.ask(42, "postgres", database="behind", user="behind")
    assert servers.run(*words)[0] == 0
    before = record(servers, "behind")
    with servers.postgres.connect() as connection:
        connection.execute(f"ALTER ROLE behind {change}".encode())
    code, output = servers.run(*words)
    assert code == 0, output
    assert "set the password of role behind" in output
    assert record(servers, "behind") == before
    login(servers, before).close()


@pytest.mark.parametrize(
    ("database", "user"),
    [
        ("taken", "taken_user"),  # all of it
        ("another", "taken_user"),  # the role
        ("taken", "another_user"),  # the database
        ("mlflow", "mlflow"),  # the lab's own
        ("mlflow", "another_user"),
        ("another", "postgres_exporter"),
        ("another", "provisioner"),
    ],
)
def test_a_name_of_somebody_else_is_refused(servers: Lab, database: str, user: str) -> None:
    assert servers.run(*servers.ask(42, "postgres", database="taken", user="taken_user"))[0] == 0
    with servers.postgres.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS postgres_exporter; CREATE ROLE postgres_exporter")
    before = catalogue(servers)
    code, output = servers.run(*servers.ask(OTHER, "postgres", database=database, user=user))
    assert code == 3, output
    assert catalogue(servers) == before
    client = servers.bao.client()
    listed = client.read(f"kv/metadata/projects/{OTHER}/postgres/{database}")
    assert listed is None


def test_two_databases_of_one_user_share_its_password(servers: Lab) -> None:
    for name in ("shared_one", "shared_two"):
        assert servers.run(*servers.ask(42, "postgres", database=name, user="shared"))[0] == 0
    for name in ("shared_one", "shared_two"):
        login(servers, record(servers, name)).close()


def test_another_project_cannot_connect(servers: Lab) -> None:
    for project, name in ((42, "mine"), (OTHER, "theirs")):
        assert servers.run(*servers.ask(project, "postgres", database=name, user=name))[0] == 0
    theirs = record(servers, "theirs", OTHER)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        login(servers, {**theirs, "DB_NAME": "mine"})


def test_requests_are_acted_on_only_under_their_own_project(servers: Lab) -> None:
    servers.ask(42, "postgres", request="cd" * 16, database="forged", user="forged")
    before = catalogue(servers)
    for words in (
        ("--project", str(OTHER), "--request", "cd" * 16),  # a forged project
        ("--project", "42", "--request", "ee" * 16),  # no such request
    ):
        code, output = servers.run("postgres", *words)
        assert code == 3, output
        assert "has no postgres request" in output
    code, output = servers.run("ollama", "--project", "42", "--request", "cd" * 16)
    assert code == 3, output  # a request of another kind
    wrong: tuple[tuple[str, ...], ...] = (
        ("--project", "42/../43", "--request", "cd" * 16),
        ("--project", "42", "--request", "../requests/" + "cd" * 16),
        ("--project", "042", "--request", "cd" * 16),
        (),
    )
    for options in wrong:
        assert servers.run("postgres", *options)[0] == 2
    assert catalogue(servers) == before


def test_dynamic_users_own_what_they_make_together(servers: Lab) -> None:
    words = servers.ask(42, "postgres", database="dyn", user="dyn_owner", mode="dynamic")
    for expected in ("created database", "nothing to do"):
        code, output = servers.run(*words)
        assert (code, expected in output) == (0, True), output
    environment = servers.environment(42)
    script = "import os; print(os.environ['DB_USER'], os.environ['DB_PASS'])"
    users = []
    for _ in range(2):
        code, output = servers.run(
            "run", "postgres-dynamic/dyn", "--", sys.executable, "-c", script, env=environment
        )
        servers.outputs.pop()  # shows a password on purpose
        assert code == 0, output
        users.append(output.split())
    assert users[0] != users[1]
    with servers.postgres.connect("dyn", *users[0]) as connection:
        connection.execute("CREATE TABLE made (a int)")
    with servers.postgres.connect("dyn", *users[1]) as connection:
        connection.execute("INSERT INTO made VALUES (1); DROP TABLE made")
    code, output = servers.run(
        "run", "postgres-dynamic/dyn", "--", "true", env=servers.environment(OTHER)
    )
    assert code == 1, output  # its own path is empty
    servers.bao.client().write_data("sys/leases/revoke-prefix/database/creds/project-42-dyn")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        servers.postgres.connect("dyn", *users[0])


def test_a_dynamic_user_goes_when_its_hour_is_over_though_it_is_connected(servers: Lab) -> None:
    words = servers.ask(42, "postgres", database="leaving", user="leaving_owner", mode="dynamic")
    assert servers.run(*words)[0] == 0
    answer: Any = servers.bao.client().read("database/creds/project-42-leaving")
    user = answer["data"]
    session = servers.postgres.connect("leaving", user["username"], user["password"])
    session.execute("CREATE TABLE made (a int)")
    servers.bao.client().write_data("sys/leases/revoke-prefix/database/creds/project-42-leaving")
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        session.execute("SELECT 1")
    with servers.postgres.connect("leaving") as connection:
        assert not connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = %s", (user["username"],)
        ).fetchone()
        assert connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'made'")


def test_one_project_cannot_stop_the_others(servers: Lab) -> None:
    """Neither by the lock of `provision`, nor by taking every connection."""
    assert servers.run(*servers.ask(42, "postgres", database="greedy", user="greedy"))[0] == 0
    found = record(servers, "greedy")
    for common in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            login(servers, {**found, "DB_NAME": common})
    with ExitStack() as stack:
        for _ in range(postgres.CONNECTIONS):
            stack.enter_context(login(servers, found)).execute(
                "SELECT pg_advisory_lock_shared(%s)", (postgres.LOCK,)
            )
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            login(servers, found)
        code, output = servers.run(*servers.ask(OTHER, "postgres", database="calm", user="calm"))
        assert code == 0, output


@pytest.mark.parametrize("table", ["postgres", "vault"])
def test_a_service_that_is_down_is_one_line(servers: Lab, table: str) -> None:
    words = servers.ask(42, "postgres", database="down", user="down")
    environment = servers.environment()
    if table == "vault":
        environment["VAULT_ADDR"] = "http://127.0.0.1:9"
        code, output = servers.run(*words, env=environment)
    else:
        good = servers.read("infra/provision/postgres")
        good.pop("version")
        servers.write("infra/provision/postgres", {**good, "port": "9"})
        code, output = servers.run(*words)
        servers.write("infra/provision/postgres", good)
    assert code == 1
    assert re.search("Vault at .* failed|PostgreSQL failed", output), output
    assert "Traceback" not in output


def test_only_the_labs_protected_branch_may_provision(servers: Lab) -> None:
    words = servers.ask(42, "postgres", database="nobody", user="nobody_user")
    for project, claims in (
        (42, {}),
        (LAB_PROJECT, {"ref": "feature", "ref_protected": "false"}),
        (LAB_PROJECT, {"ref_protected": "false"}),
        (LAB_PROJECT, {"ref": "main", "ref_type": "tag"}),
        (LAB_PROJECT, {"aud": "https://elsewhere"}),
        (LAB_PROJECT, {"iss": "https://gitlab.example"}),
    ):
        environment = servers.environment()
        token = servers.gitlab.id_token(project, **{"pipeline_source": "trigger", **claims})
        environment["VAULT_ID_TOKEN"] = token
        code, output = servers.run(*words, env=environment)
        assert code in (1, 3), output
        assert "login with role provisioner" in output


def test_no_secret_is_in_any_log(servers: Lab) -> None:
    """Runs last in this file: everything above has left its traces by now."""
    client, secrets = servers.bao.client(), set()
    for project in (42, OTHER):
        listed = client.secrets.kv.v2.list_secrets(
            f"projects/{project}/postgres-roles", mount_point="kv"
        )
        for name in listed["data"]["keys"]:
            path = f"projects/{project}/postgres-roles/{name}"
            secrets.add(servers.read(path)["password"])
    secrets |= {"provisioner-of-the-test", servers.gitlab.trigger_token}
    assert len(secrets) > 10
    server_log = servers.postgres.log.read_text(errors="replace")
    # The set-up of the test itself writes one password in plain.
    server_log = server_log.replace("PASSWORD 'provisioner-of-the-test'", "")
    for place in (server_log, servers.bao.audit.read_text(), *servers.outputs):
        assert not [secret for secret in secrets if secret in place]
