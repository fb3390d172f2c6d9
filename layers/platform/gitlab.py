"""GitLab with its container registry on the object store."""

from collections.abc import Mapping
from pathlib import Path

import pulumi

from layers.context import Component, LayerContext
from settings import images
from settings.platform.gitlab import GitLab as Settings
from targets import Container, File, Health, Port, Role, Workload
from targets.templates import render

FILES = Path(__file__).parent / "files" / "gitlab"
ACCESS = ("access.rb", "access.sh")


class GitLab(Component):
    """The server; `ready` is known once it answers and takes the API token that it was given."""

    TYPE = "datalab:platform:GitLab"

    ready: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        config = render(FILES / "gitlab.rb.j2", _values(context))
        workload = Workload(
            container=_container(context, config),
            machine=context.get(Settings).machine,
            roles=[_role(context, config)],
        )
        self.ready = context.place(self, name, workload)
        self.register_outputs({"ready": self.ready})


def token(context: LayerContext) -> pulumi.Output[str]:
    """The administrator's API token; GitLab takes one of 20 characters or more."""
    return pulumi.Output.concat("glpat-", context.secret("gitlab-token", 40))


def addresses(context: LayerContext) -> dict[str, str]:
    """Where people, programs and images find it."""
    web, registry = context.endpoint("gitlab"), context.endpoint("registry")
    return {
        "url": web.url,
        "api_url": f"{web.scheme}://{web.reached}/api/v4/",
        "registry": registry.netloc,
    }


def _store(context: LayerContext) -> dict[str, pulumi.Input[str]]:
    """The object store as GitLab uses it: by a user of its own."""
    key = context.foundation.credentials["gitlab"]
    return {
        "endpoint": context.endpoint("store").inner_url,
        "region": context.settings.common.region,
        "access_key": key["access_key"],
        "secret_key": key["secret_key"],
    }


def _values(context: LayerContext) -> Mapping[str, pulumi.Input[object]]:
    settings, web, store = context.get(Settings), context.endpoint("gitlab"), _store(context)
    home = settings.container or settings.machine
    return {
        "external_url": web.inner_url,
        "registry_url": context.endpoint("registry").url,
        "ssh_port": settings.ssh_port,
        "tls": web.inner_scheme == "https",
        "host": web.inner_host,
        "root_password": context.secret("gitlab-root"),
        "store_endpoint": store["endpoint"],
        "store_region": store["region"],
        "store_access_key": store["access_key"],
        "store_secret_key": store["secret_key"],
        "backup_days": settings.backup_days,
        "memory_mib": home.memory_mib if home else 0,
    }


def _container(context: LayerContext, config: pulumi.Output[str]) -> Container | None:
    settings, web = context.get(Settings), context.endpoint("gitlab")
    size = settings.container
    if size is None:
        return None
    return Container(
        image=context.image(Settings),
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
            "/etc/datalab/root-password": File(content=context.secret("gitlab-root"), mode="0600"),
            "/etc/datalab/token": File(content=token(context), mode="0600"),
            "/etc/gitlab/trusted-certs/lab.crt": File(content=context.ca),
        },
        # A first start may be killed: `reconfigure` and our access.rb run again at every start.
        volumes={
            "gitlab-config": "/etc/gitlab",
            "gitlab-data": "/var/opt/gitlab",
            "gitlab-logs": "/var/log/gitlab",
        },
        # The address that GitLab writes into links must be the one it listens on.
        ports=[
            *context.ports("gitlab"),
            Port(inside=22, outside=settings.ssh_port, address=str(web.address)),
            *context.ports("registry"),
        ],
        aliases=[web.inner_host],
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


def _role(context: LayerContext, config: pulumi.Output[str]) -> Role:
    server = context.certificate("gitlab")
    repository = images.repository("gitlab")
    return Role(
        name="gitlab",
        variables={
            "gitlab_repository": repository.source,
            "gitlab_packages": repository.packages,
            "gitlab_config": config,
            "gitlab_host": context.endpoint("gitlab").inner_host,
            "gitlab_port": context.get(Settings).port,
            "gitlab_certificate": server["certificate"],
            "gitlab_key": server["key"],
            "gitlab_ca": context.ca,
            "gitlab_access": {name: (FILES / name).read_text(encoding="utf-8") for name in ACCESS},
            "gitlab_backup": (FILES / "backup.sh").read_text(encoding="utf-8"),
            "gitlab_store": _store(context),
            "gitlab_root_password": context.secret("gitlab-root"),
            "gitlab_token": token(context),
        },
    )


COMPONENT = GitLab
