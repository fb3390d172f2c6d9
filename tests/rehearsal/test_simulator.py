"""The provider protocol: checks, previews, secrets, diffs, ids, imports, faults."""

import json
import threading
from datetime import timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.protobuf import empty_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2

from rehearsal import operations, sdk, wire
from rehearsal.rules import docker, gitlab, local, proxmox, stores, tls
from rehearsal.world import World
from targets import docker as place
from tests.harness.process import PATIENCE_S
from tests.rehearsal import provocations as make
from tests.rehearsal.client import Lab, RefusedByProviderError, told

GRID = {
    "gitlab": gitlab.PROJECT,
    "minio": stores.BUCKET,
    "postgresql": stores.ROLE,
    "proxmoxve": proxmox.VM,
    "random": local.PASSWORD,
    "tls": tls.KEY,
    "vault": stores.MOUNT,
    "docker": docker.CONTAINER,
    "command": local.LOCAL,
}


def test_every_package_is_served_with_the_installed_version(lab: Lab) -> None:
    assert sorted(lab.ports) == sorted(sdk.PACKAGES) == sorted(GRID)
    for package, type_ in GRID.items():
        info = lab.at(type_).stub.GetPluginInfo(empty_pb2.Empty())
        assert info.version == sdk.version(package)


@pytest.mark.parametrize("type_", GRID.values())
def test_unknown_properties_are_named(lab: Lab, type_: str) -> None:
    failures = lab.at(type_).check(type_, "it", {"nosuch": 1})
    assert failures["nosuch"] == "the provider has no such property"


@pytest.mark.parametrize(
    ("inputs", "property_", "reason"),
    [
        ({}, "image", "a required property is missing"),
        ({"image": 3}, "image", "must be a string, not int"),
        ({"image": "x", "memory": "512"}, "memory", "must be a whole number, not str"),
        ({"image": "x", "memory": 1.5}, "memory", "must be a whole number, not float"),
        ({"image": "x", "memory": True}, "memory", "must be a whole number, not bool"),
        ({"image": "x", "envs": "A=b"}, "envs", "must be a list, not str"),
        ({"image": "x", "envs": [1]}, "envs[0]", "must be a string, not int"),
        ({"image": "x", "logOpts": ["a"]}, "logOpts", "must be a map, not list"),
        ({"image": "x", "ports": [{}]}, "ports[0].internal", "a required property is missing"),
        (
            {"image": "x", "ports": [{"internal": 80}, {"internal": 81, "extrnal": 8}]},
            "ports[1].extrnal",
            "the provider has no such property",
        ),
        ({"image": "x", "healthcheck": "no"}, "healthcheck", "must be an object, not str"),
    ],
)
def test_faults_of_inputs_are_named(
    lab: Lab, inputs: dict[str, Any], property_: str, reason: str
) -> None:
    failures = lab.at(docker.CONTAINER).check(docker.CONTAINER, "web", inputs)
    assert failures[property_] == reason


def test_unknown_and_secret_values_pass_the_check(lab: Lab) -> None:
    inputs = {"image": wire.UNKNOWN, "memory": wire.UNKNOWN, "ports": [{"internal": wire.UNKNOWN}]}
    assert not lab.at(docker.CONTAINER).check(docker.CONTAINER, "web", inputs)
    secret = wire.struct({"image": "x", "envs": ["A=b"]}, ["envs"])
    request = provider_pb2.CheckRequest(
        urn=lab.at(docker.CONTAINER).urn(docker.CONTAINER, "web"), news=secret
    )
    answer = lab.at(docker.CONTAINER).stub.Check(request)
    assert not answer.failures
    assert rpc.is_rpc_secret(rpc.deserialize_properties(answer.inputs)["envs"])


def test_a_type_that_the_sdk_lacks_is_refused(lab: Lab) -> None:
    failures = lab.at(docker.CONTAINER).check("docker:index/conteiner:Conteiner", "x", {})
    assert "has no resource type" in failures[""]


def test_options_of_providers_are_checked(lab: Lab) -> None:
    stub = lab.at(docker.CONTAINER).stub
    news = wire.struct({"hst": "x", "sshOpts": "[1]", "version": "5.2.0"})
    answer = stub.CheckConfig(provider_pb2.CheckRequest(name="docker", news=news))
    assert {told(f.reason)[0] for f in answer.failures} == {"hst", "sshOpts[0]"}
    assert not any(failure.property for failure in answer.failures)


@pytest.mark.parametrize("type_", GRID.values())
def test_a_preview_makes_nothing_and_knows_no_computed_output(lab: Lab, type_: str) -> None:
    request = provider_pb2.CreateRequest(
        urn=lab.at(type_).urn(type_, "it"), properties=wire.struct({}), preview=True
    )
    answer = lab.at(type_).stub.Create(request)
    shape = sdk.shape(type_.partition(":")[0], type_)
    assert shape is not None
    told = wire.plain(answer.properties)
    only_outputs = shape.outputs - sdk.properties(shape.inputs).keys()
    assert only_outputs <= told.keys()
    assert all(value is wire.UNKNOWN for value in told.values())
    assert not answer.id
    assert not lab.world.items
    assert not lab.world.calls


def test_secrets_come_back_wrapped_and_are_wrapped_by_the_sdk(lab: Lab) -> None:
    made = lab.at(local.PASSWORD).create(local.PASSWORD, "pw", {"length": 24})
    told = rpc.deserialize_properties(made.properties)
    assert rpc.is_rpc_secret(told["result"])
    assert rpc.is_rpc_secret(told["bcryptHash"])
    assert len(told["result"]["value"]) == 24
    make.pulled(lab)
    image = next(lab.world.find(docker.IMAGE)).get("imageId")
    inputs = {"name": "web", "image": image, "envs": ["PASSWORD=x"]}
    container = lab.at(docker.CONTAINER).create(docker.CONTAINER, "web", inputs, secrets=("envs",))
    told = rpc.deserialize_properties(container.properties)
    assert rpc.is_rpc_secret(told["envs"])
    again = lab.at(docker.CONTAINER).read(docker.CONTAINER, "web", container.id)
    for properties in (again.properties, again.inputs):
        assert rpc.is_rpc_secret(rpc.deserialize_properties(properties)["envs"])


def test_a_plain_input_that_the_sdk_calls_secret_is_wrapped(lab: Lab) -> None:
    made = lab.at(stores.USER).create(stores.USER, "u", {"name": "u", "secret": "x" * 12})
    told = rpc.deserialize_properties(made.properties)
    assert told["secret"] == {**told["secret"], "value": "x" * 12}
    assert rpc.is_rpc_secret(told["secret"])


@pytest.mark.parametrize(
    ("type_", "old", "new", "replaces"),
    [
        (docker.CONTAINER, {"image": "sha256:1"}, {"image": "sha256:2"}, ["image"]),
        (docker.CONTAINER, {"memory": 1, "memorySwap": 1}, {"memory": 2, "memorySwap": 2}, []),
        (docker.CONTAINER, {"healthcheck": {"retries": 1}}, {"healthcheck": {"retries": 2}}, []),
        (docker.CONTAINER, {"ports": [{"internal": 1}]}, {"ports": []}, ["ports"]),
        (docker.VOLUME, {"name": "a"}, {"name": "b"}, ["name"]),
        (proxmox.VM, {"disks": [{"size": 1}]}, {"disks": [{"size": 2}]}, []),
        (proxmox.VM, {"disks": [{"fileId": "a"}]}, {"disks": [{"fileId": "b"}]}, ["disks"]),
        (proxmox.VM, {"nodeName": "a"}, {"nodeName": "b"}, ["nodeName"]),
        (proxmox.LXC, {"disk": {"size": 1}}, {"disk": {"size": 2}}, []),
        (proxmox.LXC, {}, {"mountPoints": [{"volume": "x", "path": "/x"}]}, ["mountPoints"]),
        (
            proxmox.LXC,
            {"operatingSystem": {"templateFileId": "a", "type": "x"}},
            {"operatingSystem": {"templateFileId": "b", "type": "x"}},
            ["operatingSystem"],
        ),
        (local.PASSWORD, {"length": 1}, {"length": 2}, ["length"]),
        (local.LOCAL, {"create": "a"}, {"create": "b"}, []),
        (local.LOCAL, {"triggers": [1]}, {"triggers": [2]}, ["triggers"]),
        (tls.SIGNED, {"earlyRenewalHours": 1}, {"earlyRenewalHours": 2}, []),
        (tls.SIGNED, {"validityPeriodHours": 1}, {"validityPeriodHours": 2},
         ["validityPeriodHours"]),
        (gitlab.PROJECT, {"name": "a"}, {"name": "b"}, []),
        (gitlab.PROJECT, {"importUrl": "https://a"}, {"importUrl": "https://b"}, []),
        (gitlab.PROJECT, {"initializeWithReadme": True}, {}, []),
        (gitlab.PROJECT, {"templateName": "a"}, {"templateName": "b"}, ["templateName"]),
        (gitlab.GROUP, {"parentId": 1}, {"parentId": 2}, []),
        (gitlab.BRANCH, {"pushAccessLevel": "developer"}, {"pushAccessLevel": "maintainer"},
         ["pushAccessLevel"]),
        (gitlab.BRANCH, {"mergeAccessLevel": "developer"}, {"mergeAccessLevel": "no one"},
         ["mergeAccessLevel"]),
        (gitlab.BRANCH, {"allowForcePush": False}, {"allowForcePush": True}, []),
        (gitlab.INSTANCE_VARIABLE, {"key": "a"}, {"key": "b"}, ["key"]),
        (stores.MOUNT, {"path": "a"}, {"path": "b"}, []),
        (stores.MOUNT, {"type": "kv"}, {"type": "kv-v2"}, ["type"]),
    ],
)  # fmt: skip
def test_replaces_or_updates(
    lab: Lab, type_: str, old: dict[str, Any], new: dict[str, Any], replaces: list[str]
) -> None:
    same = {"image": "sha256:0"} if type_ == docker.CONTAINER else {}
    answer = lab.at(type_).diff(type_, {**same, **old}, {**same, **new})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == replaces
    kinds = {provider_pb2.PropertyDiff.Kind.Name(d.kind) for d in answer.detailedDiff.values()}
    assert any(kind.endswith("_REPLACE") for kind in kinds) == bool(replaces)


def test_an_unknown_value_that_forces_replacement_replaces(lab: Lab) -> None:
    answer = lab.at(docker.VOLUME).diff(docker.VOLUME, {"name": "a"}, {"name": wire.UNKNOWN})
    assert list(answer.replaces) == ["name"]


def test_equal_inputs_are_no_difference(lab: Lab) -> None:
    inputs = make.vm_inputs()
    answer = lab.at(proxmox.VM).diff(proxmox.VM, inputs, inputs)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


@pytest.mark.parametrize(
    ("type_", "inputs", "never"),
    [
        (docker.CONTAINER, {"image": "sha256:0", "memory": 512}, ["memorySwap"]),
        (docker.CONTAINER, {"image": "nginx:1.27"}, ["image"]),
        (docker.CONTAINER, {"image": "sha256:0", "cpus": "1"}, ["cpus"]),
        (docker.CONTAINER, {"image": "sha256:0", "cpus": "0.05"}, ["cpus"]),
        (docker.CONTAINER, {"image": "sha256:0", "cpus": "4.0"}, []),
        (docker.CONTAINER, {"healthcheck": {"tests": ["CMD"], "interval": "60s"}}, ["healthcheck"]),
        (docker.CONTAINER, {"healthcheck": {"tests": ["CMD"], "interval": "1m0s"}}, []),
        (
            docker.CONTAINER,
            {"healthcheck": {"tests": ["CMD"], "startPeriod": "15m"}},
            ["healthcheck"],
        ),
        (proxmox.VM, {"nodeName": "pve", "tags": ["lab", "Data"]}, ["tags"]),
    ],
)
def test_what_is_read_back_differently_is_never_at_rest(
    lab: Lab, type_: str, inputs: dict[str, Any], never: list[str]
) -> None:
    answer = lab.at(type_).diff(type_, inputs, inputs)
    assert list(answer.diffs) == never


def test_a_container_is_spelt_as_it_is_read_back() -> None:
    """Every form in which the place writes a limit or a duration is read back unchanged."""
    for cores in (0.1, 0.5, 0.9, 1, 2.5, 4, 10, 10.5, 16, 20, 100, 512):
        assert docker.read_back_differently({"cpus": place._cores(cores)}) == set(), cores
    for seconds in (0, 1, 59, 60, 61, 600, 900, 3599, 3600, 3661, 7200):
        check = {"interval": place._duration(seconds)}
        assert docker.read_back_differently({"healthcheck": check}) == set(), seconds


def test_a_name_that_is_not_given_is_made_up_and_kept(lab: Lab) -> None:
    stub, urn = lab.at(docker.VOLUME).stub, lab.at(docker.VOLUME).urn(docker.VOLUME, "data")
    request = provider_pb2.CheckRequest(urn=urn, news=wire.struct({}), randomSeed=b"\xab" * 8)
    first = stub.Check(request)
    assert wire.plain(first.inputs) == {"name": "data-abababa"}
    request = provider_pb2.CheckRequest(urn=urn, olds=first.inputs, news=wire.struct({}))
    assert wire.plain(stub.Check(request).inputs) == {"name": "data-abababa"}
    made_up = stub.Diff(
        provider_pb2.DiffRequest(
            urn=urn, old_inputs=wire.struct({"name": "old"}), news=first.inputs
        )
    )
    assert not made_up.deleteBeforeReplace
    by_hand = lab.at(docker.VOLUME).diff(docker.VOLUME, {"name": "old"}, {"name": "new"})
    assert by_hand.deleteBeforeReplace


def test_what_is_there_is_read_by_its_id_and_by_its_import_id(lab: Lab) -> None:
    make.everything_fits(lab)
    at = lab.at(proxmox.VM)
    assert at.read(proxmox.VM, "x", "201").id == "201"
    imported = at.read(proxmox.VM, "x", "pve/201")
    assert imported.id == "201"
    assert wire.plain(imported.inputs) == make.vm_inputs()
    assert wire.plain(imported.properties)["vmId"] == 201
    image = at.read(proxmox.FILE, "x", f"pve/{make.VOLUME}")
    assert image.id == make.VOLUME


def test_what_is_gone_reads_as_nothing(lab: Lab) -> None:
    answer = lab.at(docker.VOLUME).read(docker.VOLUME, "data", "data")
    assert (answer.id, len(answer.properties.fields)) == ("", 0)


def test_a_token_that_is_told_once_is_not_imported(lab: Lab) -> None:
    made = lab.create(gitlab.RUNNER, runnerType="instance_type", description="docker")
    answer = lab.at(gitlab.RUNNER).read(gitlab.RUNNER, "x", made)
    assert answer.id == made
    assert "token" not in answer.properties.fields
    known = lab.at(gitlab.RUNNER).stub.Read(
        provider_pb2.ReadRequest(
            urn=lab.at(gitlab.RUNNER).urn(gitlab.RUNNER, "x"),
            id=made,
            properties=wire.struct({"token": "glrt"}),
        )
    )
    assert "token" in known.properties.fields


def test_a_token_that_falls_due_is_rotated_and_has_another_id(lab: Lab) -> None:
    inputs = make.token_inputs(make.project(lab))
    at, urn = (
        lab.at(gitlab.PROJECT_TOKEN),
        lab.at(gitlab.PROJECT_TOKEN).urn(gitlab.PROJECT_TOKEN, "t"),
    )
    made = at.create(gitlab.PROJECT_TOKEN, "t", inputs)
    first = wire.plain(made.properties)
    assert first["expiresAt"] == str(gitlab.today(lab.world) + timedelta(days=30))

    def changed(new: dict[str, Any], known: Any) -> list[str]:
        request = provider_pb2.DiffRequest(
            urn=urn, id=made.id, old_inputs=wire.struct(inputs), olds=known, news=wire.struct(new)
        )
        answer = at.stub.Diff(request)
        assert not answer.replaces
        return list(answer.diffs)

    def updated(new: dict[str, Any], known: Any, *, preview: bool = False) -> Any:
        return at.stub.Update(
            provider_pb2.UpdateRequest(
                urn=urn, id=made.id, old_inputs=wire.struct(inputs), olds=known,
                news=wire.struct(new), preview=preview,
            )
        ).properties  # fmt: skip

    lab.world.days = 19
    assert changed(inputs, made.properties) == []
    lab.world.days = 20
    assert changed(inputs, made.properties) == ["expiresAt"]
    assert wire.plain(updated(inputs, made.properties, preview=True))["token"] is wire.UNKNOWN
    rotated = updated(inputs, made.properties)
    second = wire.plain(rotated)
    assert second["expiresAt"] == str(gitlab.today(lab.world) + timedelta(days=30))
    assert second["token"] != first["token"]
    assert second["id"] != made.id
    assert [item.id for item in lab.world.find(gitlab.PROJECT_TOKEN)] == [second["id"]]
    assert changed(inputs, rotated) == []
    # Another period alone rotates it at once, and it ends as before.
    longer = make.token_inputs(
        inputs["project"], rotationConfiguration={"expirationDays": 60, "rotateBeforeDays": 10}
    )
    third = wire.plain(updated(longer, rotated))
    assert third["expiresAt"] == second["expiresAt"]
    assert third["token"] != second["token"]
    at.stub.Delete(
        provider_pb2.DeleteRequest(
            urn=urn, id=made.id, old_inputs=wire.struct(longer), properties=wire.struct(third)
        )
    )
    assert not list(lab.world.find(gitlab.PROJECT_TOKEN))


def test_a_server_that_goes_takes_along_what_it_remembered(lab: Lab) -> None:
    make.vm(lab, 201)
    git = lab.provider("gitlab", baseUrl="https://192.168.1.201/api/v4")
    inputs = {"name": "datalab", "path": "datalab"}
    made = git.create(gitlab.PROJECT, "p", inputs).id
    git.delete(gitlab.PROJECT, "p", made, inputs)
    with pytest.raises(RefusedByProviderError, match="keeps its path"):
        git.create(gitlab.PROJECT, "p", inputs)
    lab.delete(proxmox.VM, "201", "vm201", **make.vm_inputs())
    make.vm(lab, 201)
    assert git.create(gitlab.PROJECT, "p", inputs).id


def test_an_image_that_is_kept_stays_on_its_engine_and_goes_with_it(lab: Lab) -> None:
    """Two layers can have it: what the upper one no longer wants the lower one runs."""
    kept = {"name": "nginx:1.27", "keepLocally": True}
    make.vm(lab, 202)
    remote = lab.provider("docker", host="tcp://docker.lab.home.arpa:2376")
    for engine in (lab.provider("docker"), remote):
        made = engine.create(docker.IMAGE, "gateway", kept)
        image = wire.plain(made.properties)["imageId"]
        engine.delete(docker.IMAGE, "gateway", made.id, kept)
        inputs = {"name": "cache", "image": image}
        container = engine.create(docker.CONTAINER, "cache", inputs).id
        engine.delete(docker.CONTAINER, "cache", container, inputs)
        assert engine.create(docker.CONTAINER, "cache", inputs).id
    lab.delete(proxmox.VM, "202", "vm202", **make.vm_inputs())
    make.vm(lab, 202)
    with pytest.raises(RefusedByProviderError, match="No such image"):
        remote.create(docker.CONTAINER, "again", {"name": "again", "image": image})


def test_repair_finds_what_has_no_fixed_id(lab: Lab) -> None:
    container = make.container(lab, "datalab-web")
    assert operations.found(lab.world, docker.CONTAINER, {"name": "datalab-web"}) == container
    assert operations.found(lab.world, docker.CONTAINER, {"name": "datalab-db"}) is None
    trigger = lab.create(gitlab.TRIGGER, project=make.project(lab), description="ci")
    inputs = {"project": trigger.partition(":")[0], "description": "ci"}
    assert operations.found(lab.world, gitlab.TRIGGER, inputs) == trigger


def test_each_engine_has_names_of_its_own(lab: Lab) -> None:
    make.vm(lab, 202)
    remote = lab.provider("docker", host="tcp://docker.lab.home.arpa:2376")
    again = lab.provider("docker", host="ssh://datalab@192.168.1.202")
    local_engine = lab.provider("docker", host="unix:///var/run/docker.sock")
    remote.create(docker.NETWORK, "net", {"name": "datalab"})
    local_engine.create(docker.NETWORK, "net", {"name": "datalab"})
    with pytest.raises(RefusedByProviderError, match="already exists"):
        again.create(docker.NETWORK, "net", {"name": "datalab"})


def test_a_project_takes_along_what_is_in_it(lab: Lab) -> None:
    project = make.project(lab)
    lab.create(gitlab.TRIGGER, project=project, description="ci")
    lab.create(gitlab.RUNNER, runnerType="project_type", projectId=int(project))
    lab.create(gitlab.RUNNER, runnerType="instance_type")
    lab.delete(gitlab.PROJECT, project, name="datalab", path="datalab")
    assert [item.get("runnerType") for item in lab.world.items.values()] == ["instance_type"]


def test_certificates_chain_and_name_their_hosts(lab: Lab) -> None:
    at = lab.at(tls.KEY)

    def made(type_: str, **inputs: Any) -> dict[str, Any]:
        return wire.plain(at.create(type_, "x", inputs).properties)

    ca_key = made(tls.KEY, algorithm="ECDSA", ecdsaCurve="P384")["privateKeyPem"]
    ca = made(tls.SELF_SIGNED, privateKeyPem=ca_key, isCaCertificate=True, **make.CERTIFICATE,
              **make.SUBJECT)["certPem"]  # fmt: skip
    leaf_key = made(tls.KEY, algorithm="ED25519")["privateKeyPem"]
    names = {"dnsNames": ["vault.lab"], "ipAddresses": ["192.168.1.102"]}
    request = made(tls.REQUEST, privateKeyPem=leaf_key, **make.SUBJECT, **names)
    leaf = made(
        tls.SIGNED,
        certRequestPem=request["certRequestPem"],
        caCertPem=ca,
        caPrivateKeyPem=ca_key,
        allowedUses=["server_auth", "digital_signature"],
        validityPeriodHours=24,
    )["certPem"]
    certificate = x509.load_pem_x509_certificate(leaf.encode())
    authority = x509.load_pem_x509_certificate(ca.encode())
    certificate.verify_directly_issued_by(authority)
    # By it a strict client finds the issuer: Python from 3.13 refuses an authority without.
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    by = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert own.digest == by.key_identifier
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert alternative.value.get_values_for_type(x509.DNSName) == ["vault.lab"]


def test_the_world_is_saved_and_restored(lab: Lab, tmp_path: Any) -> None:
    make.everything_fits(lab)
    saved = lab.world.dump()
    lab.world.save(tmp_path / "world.json")
    assert (
        json.loads((tmp_path / "world.json").read_text())["items"].keys() == saved["items"].keys()
    )
    other = World()
    other.restore(saved)
    assert other.dump() == saved
    make.lxc(lab, 110)
    lab.world.restore(saved)
    assert lab.world.dump() == saved
    lab.delete(proxmox.VM, "201", "vm201", **make.vm_inputs())
    assert other.dump() == saved


def test_calls_are_counted(lab: Lab) -> None:
    lab.create(docker.VOLUME, "data", name="data")
    lab.update(docker.VOLUME, "data", {"name": "data"}, "data", labels=[])
    lab.delete(docker.VOLUME, "data", "data", name="data")
    assert [(c.type, c.name, c.operation) for c in lab.world.calls] == [
        (docker.VOLUME, "data", operation) for operation in ("create", "update", "delete")
    ]


def test_the_nth_call_is_applied_and_not_answered(lab: Lab) -> None:
    killed = threading.Event()
    lab.create(docker.VOLUME, "one", name="one")
    lab.world.kill_at(2, killed.set)
    request = provider_pb2.CreateRequest(
        urn=lab.at(docker.VOLUME).urn(docker.VOLUME, "two"), properties=wire.struct({"name": "two"})
    )
    call = lab.at(docker.VOLUME).stub.Create.future(request)
    assert killed.wait(PATIENCE_S)
    with pytest.raises(grpc.FutureTimeoutError):
        call.result(timeout=0.5)
    call.cancel()
    assert {item.id for item in lab.world.items.values()} == {"one", "two"}
    lab.create(docker.VOLUME, "three", name="three")
