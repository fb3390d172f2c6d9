"""What changes mean to those who use the lab."""

from cli.lib.effects import Away, effects, lines
from cli.lib.plan import Step, reduce

CONTAINER = "docker:index/container:Container"
COMMAND = "command:local:Command"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
VOLUME = "docker:index/volume:Volume"

STEPS = [
    Step("update", VM, "docker-vm", ("memory",), stateful=True),
    Step("update", COMMAND, "docker-host-key", ("environment",), reboots="docker"),
    Step("update", COMMAND, "docker-roles", ("environment",)),
    Step("update", COMMAND, "runner-roles", ("environment",)),
    Step("replace", CONTAINER, "postgresql-container", ("image",)),
    Step("update", CONTAINER, "ollama-container", ("memory",)),
    Step("replace", CONTAINER, "mlflow-container", ("envs",)),
    Step("delete", CONTAINER, "portainer-container"),
    Step("create", CONTAINER, "web-container"),
    Step("replace", VOLUME, "kafka-volume", ("labels",), stateful=True),
    Step("delete", VOLUME, "portainer-volume", stateful=True),
]
DATA = {"VmLegacy docker-vm", "Volume kafka-volume", "Volume portainer-volume", "Volume x-volume"}


def test_effects_of_steps_keep_their_order() -> None:
    found = effects(STEPS, {"mlflow-container": (30, 600)}, DATA)
    assert found.reboots == ("docker",)
    assert found.roles == ("docker", "runner")
    assert found.away == (
        Away(service="postgresql"),
        Away(service="mlflow", stop_s=30, start_s=600),
        Away(service="portainer", off=True),
    )
    assert found.replaced == ("Volume kafka-volume",)
    assert found.deleted == ("Volume portainer-volume",)
    assert found.kept == ("VmLegacy docker-vm", "Volume x-volume")
    assert list(lines(found)) == [
        "machines that reboot, with everything on them: docker",
        "roles that run again, and restart what they changed: docker, runner",
        "away while it is replaced: postgresql",
        "away while it is replaced: mlflow, at most 30 s to stop and 600 s to answer again",
        "switched off: portainer",
        "data: kept: 1 VmLegacy, 1 Volume; replaced: Volume kafka-volume;"
        " deleted: Volume portainer-volume",
    ]


def test_nothing_is_said_of_what_nobody_counted() -> None:
    assert list(lines(effects([]))) == [
        "machines that reboot, with everything on them: none",
        "services that are away: none",
        "data: replaced: none; deleted: none",
    ]


def test_a_preview_shows_which_machine_reboots() -> None:
    def step(name: str, path: str, op: str = "update") -> dict[str, object]:
        urn = f"urn:pulumi:lab-platform::datalab::datalab:places:Host${COMMAND}::{name}"
        return {"op": op, "urn": urn, "detailedDiff": {path: {"kind": "update"}}}

    raw = [
        step("docker-host-key", "environment.MACHINE_BOOT"),
        step("docker-roles", "environment.MACHINE_BOOT"),  # they run on what rebooted
        step("cache-host-key", "environment.SSH_WAIT_S"),
        step("new-host-key", "environment.MACHINE_BOOT", "replace"),  # with the machine
    ]
    found = effects(reduce("platform", "t", {"steps": raw}).steps)
    assert found.reboots == ("docker",)


def test_another_driver_of_the_gpu_reboots_its_machine() -> None:
    path = "stdin.variables.nvidia_driver.version"
    assert Step.make("update", COMMAND, "docker-roles", [path]).reboots == "docker"
