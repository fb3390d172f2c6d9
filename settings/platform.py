"""Settings of layer 2: the Docker host, GitLab, its runner."""

from ipaddress import IPv4Network

from pydantic import Field

from settings.base import MOST_MIB, Container, Model, Name, Port
from settings.machines import Vm
from settings.service import Listener, Service, secrets


class Network(Model):
    """The containers' network."""

    name: Name = Field(default="datalab", description="Name of the network in Docker")
    subnet: IPv4Network = Field(
        default=IPv4Network("172.30.0.0/24"), description="Must not overlap the node's network"
    )


class DockerHost(Model):
    """Where containers run: the local engine, or a VM."""

    network: Network = Network()
    port: Port = Field(default=2376, description="The engine's API over mutual TLS on the VM")
    machine: Vm | None = None
    reserved_mib: int = Field(
        default=512,
        ge=128,
        le=MOST_MIB,
        description="Memory of the host that containers may not use",
    )


class GitLab(Model):
    """GitLab with its container registry."""

    enabled: bool = Field(default=True, description="Whether there is one; it needs 8 GiB")
    port: Port = Field(default=443, description="Web interface and API")
    ssh_port: Port = Field(default=2222, description="Git over SSH, where GitLab is a container")
    registry_port: Port = Field(default=5050, description="Container registry")
    # On the machine and in the store, where they are old versions after that (noncurrent_days).
    # S3's PutBucketLifecycleConfiguration takes no less than one day; 3,650 are ten years.
    backup_days: int = Field(default=14, ge=1, le=3650, description="How long backups are kept")
    container: Container | None = None
    machine: Vm | None = None


class Runner(Model):
    """GitLab's runner; its jobs run on the Docker host.

    Large jobs and provisioners have a slot each that no other job can take: a job that waits for a
    provisioner holds one of the others.
    """

    concurrent: int = Field(
        default=4,
        ge=3,
        le=64,
        description="Jobs at a time, among them one large job and one provisioner",
    )
    job: Container = Field(default=Container(memory_mib=512), description="What one job may use")
    large_job: Container = Field(
        default=Container(memory_mib=1600),
        description="What the one job with the tag datalab-large may use, such as the lab's own",
    )
    provision_job: Container = Field(
        default=Container(memory_mib=192),
        description="What the one job with the tag datalab-provision may use",
    )
    container: Container | None = Field(default=None, description="The runner itself, in `dev`")

    @property
    def slots(self) -> dict[str, int]:
        """Setting of a job's size -> how many such jobs run at a time."""
        return {"job": self.concurrent - 2, "large_job": 1, "provision_job": 1}


class Platform(Model):
    """Layer 2."""

    docker: DockerHost
    gitlab: GitLab = Field(
        default=GitLab(enabled=False), description="Without this section there is no GitLab"
    )
    runner: Runner = Runner()


SERVICES = (
    Service(
        layer="platform",
        section="docker",
        listeners=(Listener(name="docker", scheme="tcp", exposure="machine", certificate=True),),
    ),
    Service(
        layer="platform",
        section="gitlab",
        listeners=(
            Listener(
                name="gitlab", scheme="", exposure="machine", label="GitLab", certificate=True
            ),
            Listener(name="registry", scheme="", exposure="machine", port_setting="registry_port"),
        ),
        secrets=secrets("gitlab-root", "gitlab-token"),
        # GitLab's documentation, "Package defaults": the ports that its parts take themselves.
        own_ports={
            5000: "its registry",
            8060: "its nginx's status",
            8080: "Puma",
            8082: "Sidekiq's metrics",
            8092: "Sidekiq's health",
            9168: "GitLab's exporter",
            9229: "Workhorse's metrics",
            9236: "Gitaly's metrics",
        },
    ),
)
