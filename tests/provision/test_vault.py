"""The same with Vault itself, built from its Go module, instead of OpenBao."""

import sys
from collections.abc import Iterator

import pytest

from tests.harness.vault_api import vault
from tests.provision.lab import Lab, lab

pytestmark = [pytest.mark.service, pytest.mark.long]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("vault"), vault) as made:
        yield made


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_project_gets_a_database_and_nobody_else_its_password(real: Lab, mode: str) -> None:
    folder = "postgres" if mode == "static" else "postgres-dynamic"
    words = real.ask(42, "postgres", database=mode, user=f"{mode}_user", mode=mode)
    for expected in ("created database", "nothing to do"):
        code, output = real.run(*words)
        assert (code, expected in output) == (0, True), output
    show = "import os; print(os.environ['DB_NAME'], os.environ['DB_USER'], os.environ['DB_PASS'])"
    path = f"projects/42/{folder}/{mode}"
    run = ("run", path, "--", sys.executable, "-c", show)
    code, output = real.run(*run, env=real.environment(42))
    assert code == 0, output
    name, user, password = output.split()
    with real.postgres.connect(name, user, password) as connection:
        connection.execute("CREATE TABLE t (a int)")
    for project in (4, 43):
        code, output = real.run(*run, env=real.environment(project))
        assert (code, "Vault forbids" in output) == (3, True), output


@pytest.mark.parametrize(
    "claims",
    [
        {"ref": "feature", "ref_protected": "false"},
        {"ref_protected": "false"},
        {"aud": "elsewhere"},
        {"pipeline_source": "merge_request_event"},
    ],
)
def test_logins_are_bound_to_their_claims(real: Lab, claims: dict[str, str]) -> None:
    words = real.ask(42, "postgres", database="nobody", user="nobody")
    environment = real.environment()
    environment["VAULT_ID_TOKEN"] = real.gitlab.id_token(1, **{"pipeline_source": "api", **claims})
    code, output = real.run(*words, env=environment)
    assert code in (1, 3)
    assert "login with role provisioner" in output
