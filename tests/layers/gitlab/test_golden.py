"""The rendered configurations of GitLab, its runner and Vault, whole, for both targets."""

from pathlib import Path
from typing import Any

import pytest

from layers.foundation import vault
from layers.platform import gitlab
from targets.templates import compiled
from tests.layers.gitlab.test_files import RUNNER, VALUES

GOLDEN = Path(__file__).parent / "golden"
PLAIN = {
    "tls": False,
    "external_url": "http://gitlab.lab.home.arpa:8929",
    "registry_url": "http://localhost:5050",
    "ssh_port": 2222,
}
LOCAL = {
    "docker_host": "",
    "url": "http://gitlab.lab.home.arpa:8929",
    "hosts": {},
    "network": "datalab",
}
GITLAB, TOML, HCL = (
    gitlab.FILES / "gitlab.rb.j2",
    gitlab.FILES / "config.toml.j2",
    vault.FILES / "vault.hcl.j2",
)
SERVER = {"host": "vault.lab.home.arpa", "port": 8200}
CASES: dict[str, tuple[Path, dict[str, Any]]] = {
    "lab/gitlab.rb": (GITLAB, VALUES),
    "dev/gitlab.rb": (GITLAB, {**VALUES, **PLAIN}),
    "lab/config.toml": (TOML, RUNNER),
    "dev/config.toml": (TOML, {**RUNNER, **LOCAL}),
    "vault.hcl": (HCL, {**SERVER, "engine": "vault"}),
    "openbao.hcl": (HCL, {**SERVER, "engine": "openbao"}),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden(name: str) -> None:
    template, values = CASES[name]
    assert compiled(template).render(values) == (GOLDEN / name).read_text(), f"differs: {name}"
