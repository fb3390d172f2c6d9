"""Who breaks into a container is not root on the machine, and reads no secret in its settings.

That the servers run so is proven by tests/engine, whose engine makes the containers as they are.
"""

from typing import Any

import pytest

from rehearsal.mocks import Deployed
from tests.layers.containers import VARIANTS, container, variables, world

pytestmark = pytest.mark.slow
# What its root keeps of Docker's fourteen capabilities, and why.
KEEPS: dict[str, set[str]] = {
    # To give folders to their server's user, and become that.
    "cache": {"CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"},
    "gateway": {"CHOWN", "SETGID", "SETUID"},
    "lake-writer": {"SETGID", "SETUID"},
    "mlflow": {"SETGID", "SETUID"},
    "model-server": {"SETGID", "SETUID"},
    "postgresql": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    "vault": {"CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"},
    **{key: set() for key in ("kafka", "open-webui", "store", "web")},
}
# All of them, as nobody tried with less: GitLab's package runs some twenty programs as as many
# users; Ollama's GPUs; the runner and Portainer hold the engine's key, which is root there anyway.
ALL = {"gitlab", "ollama", "portainer", "runner"}
READ_ONLY = {"web"}


def containers(layers: dict[str, Deployed]) -> dict[str, dict[str, Any]]:
    """Name -> what each container of the lab is given."""
    return {
        made.name.removesuffix("-container"): made.inputs
        for layer in layers.values()
        for made in layer.all("docker:index/container:Container")
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_containers_root_keeps_only_what_it_needs(variant: str) -> None:
    for name, inputs in containers(world(variant)).items():
        kept: Any = inputs.get("capabilities")
        if name in ALL:
            assert kept is None, name
        else:
            assert kept["drops"] == ["ALL"], name
            assert {cap.removeprefix("CAP_") for cap in kept.get("adds", [])} == KEEPS[name], name


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_that_is_dangerous_is_kept_or_gained(variant: str) -> None:
    """Docker's own set has raw sockets, device nodes and foreign setuid files in it."""
    for name, inputs in containers(world(variant)).items():
        kept = set((inputs.get("capabilities") or {}).get("adds", []))
        assert not kept & {"CAP_NET_RAW", "CAP_MKNOD", "CAP_SETFCAP", "CAP_SYS_ADMIN"}, name
        assert inputs["securityOpts"] == ["no-new-privileges:true"], name
        assert not inputs.get("privileged"), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_who_breaks_into_the_web_page_can_change_no_file(variant: str) -> None:
    """Where files are put in a root cannot be read-only: the engine would refuse them."""
    for name, inputs in containers(world(variant)).items():
        assert bool(inputs.get("readOnly")) == (name in READ_ONLY), name
        assert not (inputs.get("readOnly") and inputs.get("uploads")), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_secret_is_in_what_the_engine_shows_of_a_container(variant: str) -> None:
    """`docker inspect` shows variables and arguments to all that may list containers."""
    for layer in world(variant).values():
        for made in layer.all("docker:index/container:Container"):
            shown = {"command", "entrypoints", "envs", "healthcheck", "labels"}
            assert not made.secret & shown, made.name


def test_open_webui_has_its_secrets_as_files() -> None:
    inputs = container(world("dev")["services"], "open-webui")
    assert not [name for name in variables(inputs) if "PASSWORD" in name or "SECRET" in name]
    modes = {file["file"]: file["permissions"] for file in inputs["uploads"]}
    assert modes["/run/secrets/WEBUI_SECRET_KEY"] == "0400"
    assert modes["/run/secrets/WEBUI_ADMIN_PASSWORD"] == "0400"
