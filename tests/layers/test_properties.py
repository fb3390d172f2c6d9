"""What must hold for everything that any environment registers."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from layers import LAYERS
from rehearsal.mocks import computed
from settings.declarations import FIXED
from settings.images import catalogue
from settings.names import endpoints
from tests.harness.deploy import Deployed, Registered, shared
from tests.layers.containers import ALLOW
from tests.layers.containers import VARIANTS as COMMON

pytestmark = pytest.mark.slow

FLAVOURS = {"foundation.object_store.flavour": "minio", "foundation.vault.engine": "openbao"}
NO_GPU = {"platform.docker.machine.gpu": None, "services.ollama.gpu": False}
VARIANTS = {
    **COMMON,
    "dev with the other flavours": ("dev", {**FLAVOURS, **ALLOW}),
    "lab with the other flavours": ("lab", {**FLAVOURS, **ALLOW}),
    "lab without a GPU": ("lab", {**NO_GPU, **ALLOW}),
}
STATEFUL = {
    "docker:index/volume:Volume",
    "gitlab:index/group:Group",
    "gitlab:index/project:Project",
    "minio:index/s3Bucket:S3Bucket",
    "postgresql:index/database:Database",
    "proxmoxve:index/containerLegacy:ContainerLegacy",
    "proxmoxve:index/vmLegacy:VmLegacy",
    "vault:index/mount:Mount",
}
# No data, but what data belong to or everything trusts; the rest must be free to be made again.
LASTING = {
    "docker:index/network:Network",
    "postgresql:index/role:Role",
    "random:index/randomId:RandomId",
    "tls:index/selfSignedCert:SelfSignedCert",
}
LASTING_KEYS = {
    "certificates-ca-key",
    "machines-ssh",
    "open-webui-admin",
    "portainer-admin",
    "state-access",
    "state-policy",
    "state-user",
}
# Two of a fixed name, id, port or path cannot stand side by side.
SINGULAR = {
    "docker:index/container:Container",
    "docker:index/network:Network",
    "docker:index/volume:Volume",
    "proxmoxve:download/file:File",
    "proxmoxve:hardware/mapping/pci:Pci",
    "proxmoxve:index/containerLegacy:ContainerLegacy",
    "proxmoxve:index/vmLegacy:VmLegacy",
}
GENERATED = ("result", "privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh", "token")


def deployed(variant: str, preview: bool = False) -> dict[str, Deployed]:
    environment, change = VARIANTS[variant]
    return shared(environment, change, preview=preview)


@pytest.fixture(params=VARIANTS)
def world(request: pytest.FixtureRequest) -> dict[str, Deployed]:
    return deployed(request.param)


def resources(world: dict[str, Deployed], type_: str = "") -> list[Registered]:
    return [r for layer in world.values() for r in layer.resources if not type_ or r.type == type_]


def custom(world: dict[str, Deployed]) -> list[Registered]:
    special = ("pulumi:providers:", "pulumi:pulumi:")
    return [r for r in resources(world) if r.custom and not r.type.startswith(special)]


def containers(world: dict[str, Deployed]) -> list[Registered]:
    found = resources(world, "docker:index/container:Container")
    assert found, "no container at all: the filter is wrong"
    return found


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif value is not None:
        yield str(value)


def test_every_layer_registers_something(world: dict[str, Deployed]) -> None:
    assert list(world) == list(LAYERS)
    assert all(layer.resources and layer.outputs for layer in world.values())


def test_names_are_unique_in_a_stack(world: dict[str, Deployed]) -> None:
    for layer in world.values():
        counted = Counter((r.type, r.name) for r in layer.resources)
        assert [key for key, count in counted.items() if count > 1] == []


def test_every_resource_stands_under_a_component(world: dict[str, Deployed]) -> None:
    orphans = [r.name for r in custom(world) if "datalab:" not in r.parent]
    assert orphans == []


def test_components_have_tokens_of_one_shape(world: dict[str, Deployed]) -> None:
    tokens = {r.type for r in resources(world) if not r.custom}
    odd = [t for t in tokens if not re.fullmatch(r"datalab:[a-z]+:[A-Z][A-Za-z]+", t)]
    assert odd == []


def test_every_resource_has_an_explicit_provider(world: dict[str, Deployed]) -> None:
    assert [r.name for r in custom(world) if not r.provider] == []


def test_images_are_pinned(world: dict[str, Deployed]) -> None:
    third_party = {image.reference for image in catalogue().images.values()}
    built = {
        image.inputs["imageName"]
        for layer in world.values()
        for image in layer.all("docker:index/image:Image")
    }
    for image in resources(world, "docker:index/remoteImage:RemoteImage"):
        name = image.inputs["name"].removeprefix("cache.lab.home.arpa:8480/")
        known = name in third_party or any(name.startswith(tag) for tag in built)
        assert known, f"{image.name}: {name} stands neither in images.yaml nor is it built here"
        assert not re.search(r":latest\b", name)


def test_containers_run_images_by_id(world: dict[str, Deployed]) -> None:
    assert [c.name for c in containers(world) if not c.inputs["image"].startswith("sha256:")] == []


def test_containers_are_limited_checked_restarted_and_rotated(world: dict[str, Deployed]) -> None:
    for container in containers(world):
        inputs = container.inputs
        assert inputs["memory"] >= 32, container.name
        assert inputs["memorySwap"] == inputs["memory"], container.name
        assert len(inputs["healthcheck"]["tests"]) >= 2, container.name
        assert inputs["healthcheck"]["tests"][0] in {"CMD", "CMD-SHELL"}, container.name
        assert inputs["wait"] is True, container.name
        assert inputs["stopTimeout"] == inputs["destroyGraceSeconds"] >= 30, container.name
        assert inputs["restart"] == "unless-stopped", container.name
        assert {"max-size", "max-file"} <= inputs["logOpts"].keys(), container.name
        labels = {label["label"] for label in inputs["labels"]}
        assert {"org.datalab.layer", "org.datalab.service"} <= labels, container.name
        assert "healthcheck" in container.replace_on_changes, "kreuzwerker#988"


def test_vaults_bootstrap_is_root_whatever_user_the_image_has(world: dict[str, Deployed]) -> None:
    for container in containers(world):
        if container.name == "vault-container":
            assert container.inputs["user"] == "0:0"


def test_files_of_an_owner_go_only_where_docker_looks_up_no_user(
    world: dict[str, Deployed],
) -> None:
    """With a user of its own, or of its image, an engine would look that user up on the host.

    These have none: they start as root.
    """
    owned = {
        container.name
        for container in containers(world)
        for file in container.inputs.get("uploads") or []
        if {"owner", "group"} & file.keys()
    }
    names = ("postgresql", "mlflow", "lake-writer", "model-server")
    assert owned == {f"{name}-container" for name in names}
    for container in containers(world):
        if container.name in owned:
            assert "user" not in container.inputs, container.name


def test_nothing_is_privileged(world: dict[str, Deployed]) -> None:
    for container in containers(world):
        inputs = container.inputs
        assert not inputs.get("privileged"), container.name
        assert "networkMode" not in inputs, container.name
        assert "pidMode" not in inputs, container.name
        assert inputs["securityOpts"] == ["no-new-privileges:true"], container.name
    for machine in resources(world, "proxmoxve:index/containerLegacy:ContainerLegacy"):
        assert machine.inputs["unprivileged"] is True, machine.name


def test_only_what_manages_docker_gets_the_socket(world: dict[str, Deployed]) -> None:
    holders = {
        container.name
        for container in containers(world)
        for volume in container.inputs.get("volumes") or []
        if "docker.sock" in volume.get("hostPath", "")
    }
    assert holders <= {"portainer-container", "runner-container"}


def test_published_ports_have_one_owner(world: dict[str, Deployed]) -> None:
    owners = Counter(
        (port["ip"], port["external"])
        for c in containers(world)
        for port in c.inputs.get("ports") or []
    )
    assert owners, "nothing is published: the filter is wrong"
    assert [port for port, count in owners.items() if count > 1] == []


@pytest.mark.parametrize("variant", ["dev", "dev with GitLab"])
def test_dev_listens_on_loopback_only(variant: str) -> None:
    ports = [p for c in containers(deployed(variant)) for p in c.inputs.get("ports") or []]
    assert {port["ip"] for port in ports} == {"127.0.0.1"}


def test_lab_publishes_only_the_gateway_and_what_has_its_own_protocol() -> None:
    published = {
        c.inputs["name"]: [p["external"] for p in c.inputs["ports"]]
        for c in containers(deployed("lab"))
        if c.inputs.get("ports")
    }
    assert published == {
        "datalab-gateway": [443],
        "datalab-kafka": [9092],
        "datalab-postgresql": [5432],
    }


def test_the_plain_docker_port_occurs_nowhere(world: dict[str, Deployed]) -> None:
    found = [r.name for r in resources(world) for text in texts(r.inputs) if "2375" in text]
    assert found == []


def test_what_holds_data_is_protected(world: dict[str, Deployed]) -> None:
    # Vault's database engine holds leases of an hour and nothing else.
    stateful = [
        r for r in resources(world) if r.type in STATEFUL and r.inputs.get("type") != "database"
    ]
    assert stateful, "nothing is stateful: the filter is wrong"
    assert [r.name for r in stateful if not r.protect] == []


def test_nothing_else_is_protected(world: dict[str, Deployed]) -> None:
    """A certificate that inherited protection could neither be renewed nor get a new address."""
    found = [r for r in custom(world) if r.protect and r.type not in STATEFUL | LASTING]
    assert {r.name for r in found} <= LASTING_KEYS


def test_a_password_that_is_in_data_stays_with_the_data(world: dict[str, Deployed]) -> None:
    found = {
        r.name: r.protect for r in resources(world, "random:index/randomPassword:RandomPassword")
    }
    assert {name for name, protect in found.items() if protect} == set(FIXED)


def test_down_cannot_take_the_user_that_writes_the_state(world: dict[str, Deployed]) -> None:
    own = {r.name: r.protect for r in custom(world) if r.name.startswith("state-")}
    assert own == {
        "state-access": True,
        "state-policy": True,
        "state-user": True,
        **{f"state-reader-{part}": False for part in ("access", "policy", "user")},
    }


def test_data_volumes_are_named_and_mounted(world: dict[str, Deployed]) -> None:
    made = {r.inputs["name"] for r in resources(world, "docker:index/volume:Volume")}
    mounted = {
        volume["volumeName"]
        for container in containers(world)
        for volume in container.inputs.get("volumes") or []
        if "volumeName" in volume
    }
    assert made == mounted


def test_postgresql_keeps_its_data_where_version_18_looks() -> None:
    container = deployed("dev")["services"].one("Container", "postgresql-container")
    paths = {v["containerPath"] for v in container.inputs["volumes"] if "volumeName" in v}
    assert paths == {"/var/lib/postgresql"}, "docker-library/postgres#1400"


def test_what_is_singular_is_deleted_before_it_is_replaced(world: dict[str, Deployed]) -> None:
    assert [
        r.name for r in resources(world) if r.type in SINGULAR and not r.delete_before_replace
    ] == []


def generated_secrets(world: dict[str, Deployed]) -> set[str]:
    """What the mocks answered for passwords, keys and tokens; see rehearsal/mocks.py."""
    found = {"00000000-0000-0000-0000-000000000000"}
    for resource in custom(world):
        answers = computed(resource.type, resource.name, resource.inputs)
        found |= {str(answers[key]).strip() for key in GENERATED if key in answers}
    return found


def test_no_secret_is_a_plain_input(world: dict[str, Deployed]) -> None:
    known = generated_secrets(world)
    assert len(known) > 10, "hardly any secret: the filter is wrong"
    leaks = [
        f"{resource.name}.{key}"
        for resource in resources(world)
        for key, value in resource.inputs.items()
        if key not in resource.secret
        for text in texts(value)
        if any(secret in text for secret in known)
    ]
    assert leaks == []


def test_no_secret_is_a_plain_output(world: dict[str, Deployed]) -> None:
    known = generated_secrets(world)
    for layer in world.values():
        for name, value in layer.outputs.items():
            if name not in layer.secret_outputs:
                assert not any(s in text for text in texts(value) for s in known), name


def test_who_administers_a_service_finds_its_login(world: dict[str, Deployed]) -> None:
    found: dict[str, dict[str, str]] = {}
    for layer in world.values():
        if "logins" in layer.outputs:
            assert "logins" in layer.secret_outputs
            found |= layer.outputs["logins"]
    settings = world["services"].settings
    where = endpoints(settings)
    made = {r.name: r for r in resources(world, "random:index/randomPassword:RandomPassword")}
    expected = {
        "mlflow": ("mlflow", "admin", "mlflow-admin"),
        "object-store": ("store-console", "datalab-root", "object-store-root"),
        "open-webui": ("open-webui", settings.services.open_webui.admin_email, "open-webui-admin"),
        "portainer": ("portainer", "admin", "portainer-admin"),
        "postgresql": ("postgresql", "postgres", "postgresql-admin"),
    }
    if "gitlab" in where:
        expected["gitlab"] = ("gitlab", "root", "gitlab-root")
    # tests/layers/test_data.py has those of databases and buckets.
    assert {name for name in found if "/" not in name} == expected.keys()
    for service, (name, user, secret) in expected.items():
        made_secret = computed(made[secret].type, secret, made[secret].inputs)["result"]
        assert found[service] == {
            "url": where[name].url,
            "user": user,
            "password": made_secret,
        }


def test_no_secret_is_an_argument_of_a_command(world: dict[str, Deployed]) -> None:
    known = generated_secrets(world)
    for command in resources(world, "command:local:Command"):
        for key in ("create", "update", "delete"):
            text = str(command.inputs.get(key))
            assert not any(secret in text for secret in known), command.name


def test_no_output_was_made_into_text(world: dict[str, Deployed]) -> None:
    """An f-string over an Output does not raise; it yields this sentence."""
    for resource in resources(world):
        assert "Calling __str__ on an Output" not in json.dumps(resource.inputs, default=str)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_preview_registers_the_same(variant: str) -> None:
    """In a preview, what is computed is unknown: no code may need it to decide what there is."""
    real, preview = deployed(variant), deployed(variant, preview=True)
    for layer in LAYERS:
        assert {(r.type, r.name) for r in preview[layer].resources} == {
            (r.type, r.name) for r in real[layer].resources
        }


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_container_comes_after_its_volumes(variant: str) -> None:
    """Else Docker makes them without labels, and a volume is removed while it is in use."""
    for layer in deployed(variant).values():
        volumes = {v.inputs["name"]: v.urn for v in layer.all("docker:index/volume:Volume")}
        for container in layer.all("docker:index/container:Container"):
            mounted = [v["volumeName"] for v in container.inputs["volumes"] if "volumeName" in v]
            assert {volumes[name] for name in mounted} <= container.dependencies


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_network_names_its_gateway(variant: str) -> None:
    """Docker tells of its own choice after a restart only: a change out of nowhere."""
    networks = [n for layer in deployed(variant).values() for n in layer.all("Network")]
    assert networks
    for network in networks:
        for ipam in network.inputs["ipamConfigs"]:
            assert ip_address(ipam["gateway"]) in ip_network(ipam["subnet"])


def test_vault_is_told_of_gitlab_once_that_answers() -> None:
    """Vault fetches a login mount's keys when it is told of them, and refuses if it cannot."""
    for variant, server in (("lab", "gitlab-roles"), ("dev with GitLab", "gitlab-container")):
        platform = deployed(variant)["platform"]
        (mount,) = platform.all("vault:jwt/authBackend:AuthBackend")
        (gitlab,) = [r.urn for r in platform.resources if r.name == server]
        assert gitlab in mount.dependencies
