"""GitLab with its container registry on the object store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from places import Container, File, Health, Place, Port, Role, Workload
from places.templates import render
from settings import images
from settings.names import Endpoint
from settings.platform.gitlab import GitLab as GitLabSettings

FILES = Path(__file__).parent / "files" / "gitlab"
ACCESS = ("access.rb", "access.sh")


@dataclass(frozen=True, kw_only=True)
class Store:
    """The object store as GitLab uses it: its own user, and the bucket of its registry."""

    endpoint: pulumi.Input[str]
    region: str
    access_key: pulumi.Input[str]
    secret_key: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class GitLabArgs:
    """GitLab's settings, addresses and credentials; certificate and key are empty without TLS."""

    settings: GitLabSettings
    place: Place
    publish: str  # the address that containers publish ports on
    web: Endpoint
    registry: Endpoint
    store: Store
    root_password: pulumi.Input[str]
    token: pulumi.Input[str]
    ca: pulumi.Input[str]
    certificate: pulumi.Input[str]
    key: pulumi.Input[str]


class GitLab(pulumi.ComponentResource):
    """The server; `ready` is known once it answers and takes the API token that it was given."""

    ready: pulumi.Output[str]

    def __init__(self, name: str, args: GitLabArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:platform:GitLab", name, None, opts)
        config = render(FILES / "gitlab.rb.j2", _values(args))
        workload = Workload(
            container=_container(args, config),
            machine=args.settings.machine,
            roles=[_role(args, config)],
        )
        self.ready = args.place.run(self, name, workload)
        self.register_outputs({"ready": self.ready})


def _values(args: GitLabArgs) -> Mapping[str, pulumi.Input[object]]:
    home = args.settings.container or args.settings.machine
    if home is None:
        raise ValueError("GitLab runs nowhere: the settings were not checked")
    return {
        "external_url": args.web.inner_url,
        "registry_url": args.registry.url,
        "ssh_port": args.settings.ssh_port,
        "tls": args.web.inner_scheme == "https",
        "host": args.web.inner_host,
        "root_password": args.root_password,
        "store_endpoint": args.store.endpoint,
        "store_region": args.store.region,
        "store_access_key": args.store.access_key,
        "store_secret_key": args.store.secret_key,
        "backup_days": args.settings.backup_days,
        "memory_mib": home.memory_mib,
    }


def _container(args: GitLabArgs, config: pulumi.Output[str]) -> Container | None:
    size, settings = args.settings.container, args.settings
    if size is None:
        return None
    return Container(
        image=images.image("gitlab"),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        environment={
            "GITLAB_OMNIBUS_CONFIG": "from_file '/etc/datalab/gitlab.rb'",
            "GITLAB_POST_RECONFIGURE_SCRIPT": "sh /etc/datalab/access.sh",
        },
        files={
            "/etc/datalab/gitlab.rb": File(content=config, mode="0600"),
            **{
                f"/etc/datalab/{name}": File(content=(FILES / name).read_text(encoding="utf-8"))
                for name in ACCESS
            },
            "/etc/datalab/root-password": File(content=args.root_password, mode="0600"),
            "/etc/datalab/token": File(content=args.token, mode="0600"),
            "/etc/gitlab/trusted-certs/lab.crt": File(content=args.ca),
        },
        # A first start may be killed: `reconfigure` and our access.rb run again at every start.
        volumes={
            "gitlab-config": "/etc/gitlab",
            "gitlab-data": "/var/opt/gitlab",
            "gitlab-logs": "/var/log/gitlab",
        },
        # The address that GitLab writes into links must be the one it listens on.
        ports=[
            Port(inside=settings.port, outside=settings.port, address=args.publish),
            Port(inside=22, outside=settings.ssh_port, address=args.publish),
            Port(
                inside=settings.registry_port,
                outside=settings.registry_port,
                address=str(args.registry.address),
            ),
        ],
        aliases=[args.web.inner_host],
        stop_s=120,  # its PostgreSQL, Gitaly and Puma end one after the other
        shm_mib=256,  # what its PostgreSQL and metrics want; Docker's default of 64 is too little
        health=Health(
            test=("CMD", "/opt/gitlab/bin/gitlab-healthcheck", "--fail", "--max-time", "10"),
            interval_s=60,
            timeout_s=30,
            # The first start migrates its database for up to ten minutes on four cores.
            start_period_s=900,
            wait_s=1800,
        ),
    )


def _role(args: GitLabArgs, config: pulumi.Output[str]) -> Role:
    repository = images.repository("gitlab")
    return Role(
        name="gitlab",
        variables={
            "gitlab_repository": repository.source,
            "gitlab_packages": repository.packages,
            "gitlab_config": config,
            "gitlab_host": args.web.inner_host,
            "gitlab_port": args.settings.port,
            "gitlab_certificate": args.certificate,
            "gitlab_key": args.key,
            "gitlab_ca": args.ca,
            "gitlab_access": {name: (FILES / name).read_text(encoding="utf-8") for name in ACCESS},
            "gitlab_backup": (FILES / "backup.sh").read_text(encoding="utf-8"),
            "gitlab_store": {
                "endpoint": args.store.endpoint,
                "region": args.store.region,
                "access_key": args.store.access_key,
                "secret_key": args.store.secret_key,
            },
            "gitlab_root_password": args.root_password,
            "gitlab_token": args.token,
        },
    )
