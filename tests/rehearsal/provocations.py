"""For every refusal of rehearsal/refusals.yaml, what provokes it through the gRPC interface."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from rehearsal import wire
from rehearsal.rules import docker, gitlab, local, proxmox, stores, tls
from tests.rehearsal.client import FACTS, Lab

Provocation = Callable[[Lab], object]
PROVOCATIONS: dict[str, Provocation] = {}

VOLUME = "local:import/noble.qcow2"
TEMPLATE = "local:vztmpl/ubuntu.tar.zst"
SUM = "a" * 64
EXAMPLE = "https://images.example/noble.img"
ATTACHMENT = "minio:index/iamUserPolicyAttachment:IamUserPolicyAttachment"
VERSIONING = "minio:index/s3BucketVersioning:S3BucketVersioning"
VAULT_POLICY = "vault:index/policy:Policy"
ENDPOINT = "vault:generic/endpoint:Endpoint"
GRANT = "postgresql:index/grant:Grant"
CERTIFICATE: dict[str, Any] = {"allowedUses": ["cert_signing"], "validityPeriodHours": 24}
SUBJECT = {"subject": {"commonName": "lab"}}


def provokes(refusal: str) -> Callable[[Provocation], Provocation]:
    """Register a provocation; its last call is the one that must be refused."""

    def register(function: Provocation) -> Provocation:
        PROVOCATIONS[refusal] = function
        return function

    return register


def case(refusal: str, type_: str, **inputs: Any) -> None:
    """Register a creation that is refused in an empty world."""
    PROVOCATIONS[refusal] = lambda lab: lab.create(type_, **inputs)


def twice(refusal: str, make: Provocation) -> None:
    """Register what is refused where it is there already."""
    PROVOCATIONS[refusal] = lambda lab: (make(lab), make(lab))


def image(lab: Lab, **change: Any) -> str:
    """A cloud image on the node."""
    inputs = {
        "nodeName": "pve",
        "datastoreId": "local",
        "contentType": "import",
        "url": EXAMPLE,
        "fileName": "noble.qcow2",
        **change,
    }
    return lab.create(proxmox.FILE, **inputs)


def vm_inputs(number: int = 201, **change: Any) -> dict[str, Any]:
    """A VM that fits on the node of FACTS."""
    return {
        "nodeName": "pve",
        "vmId": number,
        "cpu": {"cores": 4},
        "memory": {"dedicated": 8192},
        "disks": [{"interface": "scsi0", "datastoreId": "local-lvm", "size": 100}],
        "networkDevices": [{"bridge": "vmbr0"}],
        "initialization": {"ipConfigs": [{"ipv4": {"address": f"192.168.1.{number}/24"}}]},
        **change,
    }


def vm(lab: Lab, number: int = 201, **change: Any) -> str:
    """Make such a VM."""
    return lab.create(proxmox.VM, f"vm{number}", **vm_inputs(number, **change))


def lxc_inputs(number: int = 101, **change: Any) -> dict[str, Any]:
    """A container that fits on the node of FACTS."""
    return {
        "nodeName": "pve",
        "vmId": number,
        "unprivileged": True,
        "memory": {"dedicated": 1024},
        "disk": {"datastoreId": "local-lvm", "size": 20},
        **change,
    }


def lxc(lab: Lab, number: int = 101, **change: Any) -> str:
    """Make such a container."""
    return lab.create(proxmox.LXC, f"ct{number}", **lxc_inputs(number, **change))


def mapping(lab: Lab, **change: str) -> str:
    """The GPU's mapping."""
    entry = {"node": "pve", "path": "0000:01:00", "id": "10de:1f15", **change}
    return lab.create(proxmox.MAPPING, name="gpu", maps=[entry])


def pulled(lab: Lab, **change: Any) -> str:
    """A pulled image; its image id."""
    inputs = {"name": "nginx:1.27", **change}
    lab.create(docker.IMAGE, **inputs)
    return str(next(lab.world.find(docker.IMAGE)).get("imageId"))


def container(lab: Lab, name: str = "web", **inputs: Any) -> str:
    """A container of a pulled image."""
    return lab.create(docker.CONTAINER, name, name=name, image=pulled(lab), **inputs)


def project(lab: Lab) -> str:
    """A GitLab project; its id."""
    return lab.create(gitlab.PROJECT, name="datalab", path="datalab")


def variable(lab: Lab, **change: Any) -> str:
    """A variable of the instance."""
    inputs = {"key": "KEY", "value": "value-value", **change}
    return lab.create(gitlab.INSTANCE_VARIABLE, **inputs)


def token(lab: Lab, **change: Any) -> str:
    """A project's token."""
    return lab.create(gitlab.PROJECT_TOKEN, **token_inputs(project(lab), **change))


def token_inputs(project_id: str, **change: Any) -> dict[str, Any]:
    """A token that is rotated in the last 10 days of its 30, unless it ends on a given day."""
    days = {"expirationDays": 30, "rotateBeforeDays": 10}
    own = {} if "expiresAt" in change else {"rotationConfiguration": days}
    return {"project": project_id, "name": "ci", "scopes": ["api"], **own, **change}


def schedule(lab: Lab, **change: Any) -> str:
    """A pipeline schedule."""
    inputs = {
        "project": project(lab),
        "description": "nightly",
        "ref": "refs/heads/main",
        "cron": "17 3 * * *",
        **change,
    }
    return lab.create(gitlab.SCHEDULE, **inputs)


def key(lab: Lab) -> str:
    """A private key's PEM."""
    made = lab.at(tls.KEY).create(tls.KEY, "key", {"algorithm": "ED25519"})
    return str(wire.plain(made.properties)["privateKeyPem"])


# ---- everywhere


@provokes("on-demand")
def on_demand(lab: Lab) -> None:
    lab.world.fail("Volume", "data")
    lab.create(docker.VOLUME, "other", name="other")
    lab.create(docker.VOLUME, "data", name="data")


@provokes("name-unknown")
def name_unknown(lab: Lab) -> None:
    provider = lab.provider("vault", address="https://vault.nowhere.example:8200")
    provider.create("vault:index/mount:Mount", "kv", {"path": "kv", "type": "kv-v2"})


@provokes("nothing-listens")
def nothing_listens(lab: Lab) -> None:
    container(lab, ports=[{"internal": 8200, "external": 8201, "ip": "127.0.0.1"}])
    provider = lab.provider("vault", address="https://127.0.0.1:8200")
    provider.create("vault:index/mount:Mount", "kv", {"path": "kv", "type": "kv-v2"})


def options(refusal: str, package: str, **config: Any) -> None:
    """Register options that the provider refuses as soon as it gets them."""
    PROVOCATIONS[refusal] = lambda lab: lab.provider(package, **config)


PROVOCATIONS |= {
    "function-unknown": lambda lab: lab.at(docker.CONTAINER).invoke(
        "docker:index/getNetwork:getNetwork", {"name": "bridge"}
    ),
    "gone": lambda lab: lab.update(
        docker.CONTAINER, "0" * 64, {"name": "web", "image": "nginx"}, restart="always"
    ),
}
options("provider-ca-file", "vault", address="https://127.0.0.1:8200", caCertFile="trust/no.crt")
options("docker-material", "docker", host="tcp://192.168.1.202:2376", keyMaterial="key")
options("pve-endpoint", "proxmoxve", endpoint="http://pve:8006")
options("pve-token", "proxmoxve", endpoint="https://pve:8006", apiToken="datalab@pam!lab")
options("minio-endpoint", "minio", minioServer="https://127.0.0.1:9000")
options("postgresql-sslmode", "postgresql", host="127.0.0.1", sslmode="prefer")


@provokes("docker-key-pair")
def docker_key_pair(lab: Lab) -> None:
    own = key(lab)
    certificate = lab.at(tls.KEY).create(
        tls.SELF_SIGNED, "it", {"privateKeyPem": own, **SUBJECT, **CERTIFICATE}
    )
    pem = wire.plain(certificate.properties)["certPem"]
    config = {"host": "tcp://192.168.1.202:2376", "certMaterial": pem}
    lab.provider("docker", **config, keyMaterial=own)
    lab.provider("docker", **config, keyMaterial=key(lab))


@provokes("minio-plain")
def minio_plain(lab: Lab) -> None:
    container(lab, ports=[{"internal": 9000, "external": 9000, "ip": "127.0.0.1"}])
    for ssl in (True, False):
        provider = lab.provider("minio", minioServer="127.0.0.1:9000", minioSsl=ssl)
        provider.create(stores.BUCKET, "it", {"bucket": f"mlflow-{ssl}".lower()})


@provokes("docker-daemon")
def docker_daemon(lab: Lab) -> None:
    provider = lab.provider("docker", host="tcp://docker.lab.home.arpa:2376")
    provider.create(docker.VOLUME, "data", {"name": "data"})


# ---- Proxmox VE


@provokes("pve-id-in-use")
def pve_id(lab: Lab) -> None:
    lxc(lab, 201)
    vm(lab, 201)


@provokes("pve-mapping-taken")
def pve_mapping_taken(lab: Lab) -> None:
    mapping(lab)
    devices = [{"device": "hostpci0", "mapping": "gpu"}]
    vm(lab, 201, hostpcis=devices)
    vm(lab, 202, hostpcis=devices)


twice("pve-mapping-exists", mapping)
twice("pve-file-exists", image)
PROVOCATIONS |= {
    "pve-disk-shrink": lambda lab: lab.update(
        proxmox.LXC, lxc(lab), lxc_inputs(), disk={"datastoreId": "local-lvm", "size": 10}
    ),
    "pve-storage-unknown": lambda lab: image(lab, datastoreId="ceph"),
    "pve-content-type": lambda lab: image(lab, datastoreId="local-lvm"),
    "pve-image-missing": lambda lab: vm(lab, disks=[{"interface": "scsi0", "importFrom": VOLUME}]),
    "pve-template-missing": lambda lab: lxc(lab, operatingSystem={"templateFileId": TEMPLATE}),
    "pve-mapping-unknown": lambda lab: vm(lab, hostpcis=[{"device": "hostpci0", "mapping": "gpu"}]),
    "pve-device-missing": lambda lab: mapping(lab, path="0000:02:00"),
    "pve-hostpci-raw": lambda lab: vm(lab, hostpcis=[{"device": "hostpci0", "id": "0000:01:00"}]),
    "pve-lxc-feature": lambda lab: lxc(lab, features={"nesting": True, "keyctl": True}),
    "pve-root-only": lambda lab: vm(lab, cpu={"cores": 1, "affinity": "0-3"}),
    "pve-checksum": lambda lab: image(lab, checksum="abc", checksumAlgorithm="sha256"),
    "pve-checksum-alone": lambda lab: image(lab, checksum=SUM),
}

# ---- Docker


@provokes("docker-port-taken")
def docker_port(lab: Lab) -> None:
    container(lab, "one", ports=[{"internal": 53, "external": 53, "protocol": "udp"}])
    container(lab, "two", ports=[{"internal": 53, "external": 53, "ip": "127.0.0.1"}])
    container(lab, "three", ports=[{"internal": 80, "external": 53}])


@provokes("docker-network-in-use")
def docker_network_in_use(lab: Lab) -> None:
    network = lab.create(docker.NETWORK, name="datalab")
    container(lab, networksAdvanced=[{"name": "datalab"}])
    lab.delete(docker.NETWORK, network, name="datalab")


@provokes("docker-volume-in-use")
def docker_volume_in_use(lab: Lab) -> None:
    volume = lab.create(docker.VOLUME, name="data")
    container(lab, volumes=[{"volumeName": "data", "containerPath": "/data"}])
    lab.delete(docker.VOLUME, volume, name="data")


@provokes("docker-image-in-use")
def docker_image_in_use(lab: Lab) -> None:
    container(lab)
    lab.delete(docker.IMAGE, next(lab.world.find(docker.IMAGE)).id, name="nginx:1.27")


twice("docker-name-taken", container)
twice("docker-network-exists", lambda lab: lab.create(docker.NETWORK, name="datalab"))
PROVOCATIONS |= {
    "docker-manifest-unknown": lambda lab: pulled(lab, name=f"{FACTS.built_here[0]}datalab/run:1"),
    "docker-network-unknown": lambda lab: container(lab, networksAdvanced=[{"name": "nowhere"}]),
    "docker-reference": lambda lab: pulled(lab, name="Nginx:1.27"),
    "docker-memory-minimum": lambda lab: container(lab, memory=4, memorySwap=4),
    "docker-memory-swap": lambda lab: container(lab, memory=512, memorySwap=256),
    "docker-mount-path": lambda lab: container(
        lab, volumes=[{"volumeName": "data", "containerPath": "data"}]
    ),
    "docker-mount-twice": lambda lab: container(
        lab,
        volumes=[
            {"volumeName": "one", "containerPath": "/data"},
            {"hostPath": "/srv", "containerPath": "/data"},
        ],
    ),
    "docker-wait": lambda lab: container(lab, wait=True),
    "docker-restart": lambda lab: container(lab, restart="sometimes"),
}
case("docker-image-unknown", docker.CONTAINER, name="web", image=f"sha256:{SUM}")
case("docker-dockerfile", docker.BUILD, imageName="lab/web:1", build={"context": "nowhere"})

# ---- GitLab


@provokes("gitlab-path-taken")
def gitlab_path_taken(lab: Lab) -> None:
    group = lab.create(gitlab.GROUP, name="Data lab", path="datalab")
    lab.create(gitlab.PROJECT, "one", name="One", path="one", namespaceId=int(group))
    lab.create(gitlab.PROJECT, "alone", name="Alone", path="one")
    lab.create(gitlab.PROJECT, "two", name="Two", path="one", namespaceId=int(group))


@provokes("gitlab-path-marked")
def gitlab_path_marked(lab: Lab) -> None:
    lab.delete(gitlab.PROJECT, project(lab), name="datalab", path="datalab")
    project(lab)


twice("gitlab-variable-taken", variable)
PROVOCATIONS |= {
    "gitlab-variable-key": lambda lab: variable(lab, key="MY-KEY"),
    "gitlab-masked": lambda lab: variable(lab, value="with space", masked=True),
    "gitlab-token-expiry": lambda lab: token(
        lab, expiresAt=str(gitlab.today(lab.world) + gitlab.LONGEST_TOKEN + timedelta(days=1))
    ),
    "gitlab-token-past": lambda lab: token(lab, expiresAt="2020-01-01"),
    "gitlab-token-date": lambda lab: token(lab, expiresAt="next year"),
    "gitlab-token-scope": lambda lab: token(lab, scopes=["api", "read_user"]),
    "gitlab-token-no-scope": lambda lab: token(lab, scopes=[]),
    "gitlab-token-one-of": lambda lab: token(
        lab,
        expiresAt="2099-01-01",
        rotationConfiguration={"expirationDays": 30, "rotateBeforeDays": 10},
    ),
    "gitlab-ref": lambda lab: schedule(lab, ref="main"),
}
case("gitlab-path", gitlab.PROJECT, name="Data", path="-data")
case("gitlab-namespace-unknown", gitlab.PROJECT, name="data", path="data", namespaceId=99)
case("gitlab-group-unknown", gitlab.RUNNER, runnerType="group_type", groupId=99)
case("gitlab-project-unknown", gitlab.TRIGGER, project="99", description="ci")
case("gitlab-runner-type", gitlab.RUNNER, runnerType="shared")
case("gitlab-runner-owner", gitlab.RUNNER, runnerType="instance_type", projectId=1)
case("gitlab-runner-timeout", gitlab.RUNNER, runnerType="instance_type", maximumTimeout=60)
case("gitlab-access-level", gitlab.BRANCH, project="1", branch="main", pushAccessLevel="owner")

# ---- MinIO-class stores


@provokes("minio-user-unknown")
def minio_user_unknown(lab: Lab) -> None:
    lab.create(stores.POLICY, name="mlflow", policy="{}")
    lab.create(ATTACHMENT, userName="mlflow", policyName="mlflow")


@provokes("minio-policy-unknown")
def minio_policy_unknown(lab: Lab) -> None:
    lab.create(stores.USER, name="mlflow", secret="x" * 20)
    lab.create(ATTACHMENT, userName="mlflow", policyName="mlflow")


@provokes("minio-policy-in-use")
def minio_policy_in_use(lab: Lab) -> None:
    lab.create(stores.USER, name="mlflow", secret="x" * 20)
    policy = lab.create(stores.POLICY, name="mlflow", policy="{}")
    lab.create(ATTACHMENT, userName="mlflow", policyName="mlflow")
    lab.delete(stores.POLICY, policy, name="mlflow", policy="{}")


def statement(**fields: Any) -> str:
    """A policy of one statement."""
    return json.dumps({"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], **fields}]})


twice("minio-bucket-exists", lambda lab: lab.create(stores.BUCKET, bucket="mlflow"))
case("minio-bucket-name", stores.BUCKET, bucket="My_Bucket")
case("minio-bucket-unknown", VERSIONING, bucket="mlflow",
     versioningConfiguration={"status": "Enabled"})  # fmt: skip
case("minio-secret-key", stores.USER, name="mlflow", secret="short")
case("minio-policy-json", stores.POLICY, name="mlflow", policy="allow everything")
case("minio-policy-arn", stores.POLICY, name="mlflow", policy=statement(Resource=["mlflow/*"]))
case("minio-policy-resource", stores.POLICY, name="mlflow", policy=statement())
case("minio-lifecycle", stores.LIFECYCLE, bucket="mlflow", rules=[{"id": "nothing"}])
case("minio-expiration", stores.LIFECYCLE, bucket="mlflow", rules=[{"id": "x", "expiration": "14"}])

# ---- Vault


@provokes("vault-path-taken")
def vault_path(lab: Lab) -> None:
    lab.create(stores.MOUNT, path="kv", type="kv-v2")
    lab.create(stores.MOUNT, path="kv/infra", type="kv-v2")


@provokes("vault-role-unbound")
def vault_role_unbound(lab: Lab) -> None:
    lab.create(stores.JWT, path="jwt-gitlab", jwtValidationPubkeys=["-----BEGIN PUBLIC KEY-----"])
    lab.create(stores.JWT_ROLE, backend="jwt-gitlab", roleName="ci", userClaim="project_id")


case("vault-jwks", stores.JWT, path="jwt-gitlab", jwksUrl="https://192.168.1.201/jwks")
case("vault-policy-empty", VAULT_POLICY, name="ci", policy=" \n")
case("vault-no-handler", stores.SECRET, mount="kv", name="infra/x", dataJson="{}")
case("vault-json", ENDPOINT, path="auth/userpass/users/x", dataJson="password")

# ---- PostgreSQL


@provokes("postgresql-memberships")
def postgresql_memberships(lab: Lab) -> None:
    for role in ({"name": "mlflow"}, {"name": "provisioner", "createRole": True}):
        lab.update(stores.ROLE, lab.create(stores.ROLE, **role), role, password="another")


@provokes("postgresql-role-owns")
def postgresql_role_owns(lab: Lab) -> None:
    role = lab.create(stores.ROLE, name="mlflow")
    lab.create(stores.DATABASE, name="mlflow", owner="mlflow")
    lab.delete(stores.ROLE, role, name="mlflow")


@provokes("postgresql-pool")
def postgresql_pool(lab: Lab) -> None:
    container(lab, ports=[{"internal": 5432, "external": 5432, "ip": "127.0.0.1"}])
    provider = lab.provider("postgresql", host="127.0.0.1", maxConnections=1)
    provider.create(stores.DATABASE, "mlflow", {"name": "mlflow"})


def grant(lab: Lab, **change: Any) -> str:
    """Rights of a role on a database."""
    lab.create(stores.ROLE, name="mlflow")
    inputs = {"role": "mlflow", "database": "mlflow", "objectType": "database", **change}
    return lab.create(GRANT, **inputs)


@provokes("postgresql-privilege")
def postgresql_privilege(lab: Lab) -> None:
    lab.create(stores.DATABASE, name="mlflow")
    grant(lab, privileges=["CONNECT", "WRITE"])


twice("postgresql-role-exists", lambda lab: lab.create(stores.ROLE, name="mlflow"))
twice("postgresql-database-exists", lambda lab: lab.create(stores.DATABASE, name="mlflow"))
PROVOCATIONS["postgresql-database-unknown"] = lambda lab: grant(lab, privileges=["CONNECT"])
case("postgresql-role-unknown", stores.DATABASE, name="mlflow", owner="mlflow")
case("postgresql-limit", stores.ROLE, name="mlflow", connectionLimit=-2)

# ---- keys, random values, commands


@provokes("tls-pem")
def tls_pem(lab: Lab) -> None:
    lab.create(
        tls.SIGNED, certRequestPem="-", caCertPem="-", caPrivateKeyPem=key(lab), **CERTIFICATE
    )


@provokes("tls-ca-mismatch")
def tls_ca_mismatch(lab: Lab) -> None:
    own = key(lab)
    at = lab.at(tls.KEY)
    request = at.create(tls.REQUEST, "r", {"privateKeyPem": own, **SUBJECT}).properties
    authority = at.create(tls.SELF_SIGNED, "ca", {"privateKeyPem": own, **SUBJECT, **CERTIFICATE})
    lab.create(
        tls.SIGNED,
        certRequestPem=request["certRequestPem"],
        caCertPem=authority.properties["certPem"],
        caPrivateKeyPem=key(lab),
        **CERTIFICATE,
    )


case("tls-algorithm", tls.KEY, algorithm="DSA")
case("tls-unknown", tls.KEY, algorithm="RSA")
PROVOCATIONS["tls-nobody"] = lambda lab: lab.create(tls.REQUEST, privateKeyPem=key(lab))
case("tls-key-pem", tls.REQUEST, privateKeyPem="no key", **SUBJECT)
case("random-length", local.PASSWORD, length=0)


@provokes("command-unreachable")
def command_unreachable(lab: Lab) -> None:
    vm(lab, 201)
    lab.create(local.LOCAL, "up", environment={"SSH_ADDRESS": "192.168.1.201"}, create="true")
    lab.create(local.LOCAL, "down", environment={"SSH_ADDRESS": "192.168.1.202"}, create="true")


def everything_fits(lab: Lab) -> None:
    """The reference lab's machines, one after the other; nothing of this may be refused."""
    image(lab)
    mapping(lab)
    for number, memory in ((101, 2048), (102, 1024), (103, 1024)):
        lxc(lab, number, memory={"dedicated": memory})
    vm(lab, 201)
    vm(lab, 202, memory={"dedicated": 16384}, hostpcis=[{"device": "hostpci0", "mapping": "gpu"}])
