"""The package cache: nginx, and a pull-through registry for each image registry."""

import json

import pulumi

from layers.context import Component, LayerContext
from layers.foundation.cache_files import FILES, Site, logins, render
from settings import images
from settings.base import Container as Size
from settings.declarations import BY_MODEL
from settings.foundation.cache import FIRST_REGISTRY_PORT, Cache, Upstream
from settings.mirrors import urls
from targets import Container, File, Health, Role, Workload
from targets.docker import DNS

DATA = "/var/lib/datalab-cache"


class PackageCache(Component):
    """The cache; `urls` (see settings.mirrors.urls) are known once it answers."""

    TYPE = "datalab:foundation:PackageCache"

    urls: pulumi.Output[dict[str, dict[str, str]]]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        settings, address = context.get(Cache), context.endpoint(name)
        for upstream in registries_of(settings):
            size = settings.upstreams[upstream].container
            if size is not None:  # on a node its registry is on the cache's machine
                container = _registry(
                    f"{name}-{upstream}",
                    settings.upstreams[upstream],
                    size,
                    context.given.upstream_passwords.get(upstream),
                )
                context.place(
                    self,
                    f"{name}-{upstream}",
                    Workload(container=container, machine=None, roles=()),
                )
        workload = Workload(
            container=_container(name, context),
            machine=settings.machine,
            roles=[_role(context)] if settings.machine else (),
        )
        ready = context.place(self, name, workload)
        self.urls = ready.apply(lambda _: urls(settings, address.url))
        self.register_outputs({"urls": self.urls})


def registries_of(settings: Cache) -> dict[str, int]:
    """Name of every oci upstream -> its registry's port on a machine."""
    names = sorted(name for name, up in settings.upstreams.items() if up.kind == "oci")
    return {name: FIRST_REGISTRY_PORT + index for index, name in enumerate(names)}


def _container(name: str, context: LayerContext) -> Container | None:
    settings, passwords = context.get(Cache), context.given.upstream_passwords
    size = settings.container
    if size is None:
        return None
    site = Site(
        resolvers=(DNS,),
        port=context.endpoint(name).inner_port,
        registries={up: f"http://{name}-{up}:5000" for up in registries_of(settings)},
        user="nginx",
        temp_dir="/var/cache/nginx",
        log_dir=DATA,
        cache_dir=f"{DATA}/packages",
    )
    return Container(
        image=context.image(Cache),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        files={
            **{path: File(content=text) for path, text in render(settings, site).items()},
            **(
                {f"{site.config_dir}/logins.conf": File(content=_logins(context), mode="0600")}
                if passwords
                else {}
            ),
            "/docker-entrypoint.d/50-tidy-loop.sh": File(
                content=(FILES / "tidy-loop.sh").read_text(encoding="utf-8"), mode="0755"
            ),
        },
        # Its workers are the image's user's, and so is what tidy.sh deletes.
        capabilities=("CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"),
        volumes={name: DATA},
        ports=context.ports(name),
        health=Health(test=("CMD", "curl", "-fsS", f"http://127.0.0.1:{site.port}/healthz")),
    )


def _logins(context: LayerContext) -> pulumi.Output[str]:
    """The text of logins.conf, secret."""
    return pulumi.Output.all(**context.given.upstream_passwords).apply(
        lambda passwords: logins(context.get(Cache), passwords)
    )


def _registry(
    name: str, upstream: Upstream, size: Size, password: pulumi.Output[str] | None
) -> Container:
    variables: dict[str, pulumi.Input[str]] = {}
    if upstream.user and password is not None:
        user = upstream.user
        given = password.apply(lambda text: login(user, text))
        variables = {name: given[name] for name in login(user, "")}
    return Container(
        image=images.image(BY_MODEL[Cache].image_of_entries),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        environment={
            "REGISTRY_PROXY_REMOTEURL": upstream.url,
            # What the proxy's clock finds too old it may also delete.
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "OTEL_TRACES_EXPORTER": "none",
            **variables,
        },
        capabilities=(),
        read_only=True,
        volumes={name: "/var/lib/registry"},
        health=Health(test=("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:5000/")),
    )


def login(user: str, password: str) -> dict[str, str]:
    """The variables of a registry that logs in upstream.

    It reads their text as YAML (distribution's configuration/parser.go), of which JSON is a part.
    """
    return {
        "REGISTRY_PROXY_USERNAME": json.dumps(user),
        "REGISTRY_PROXY_PASSWORD": json.dumps(password),
    }


def _role(context: LayerContext) -> Role:
    settings, passwords = context.get(Cache), context.given.upstream_passwords
    node = context.settings.common.target
    nameservers = node.nameservers if node.kind == "proxmox" else ()
    ports = registries_of(settings)
    site = Site(
        # ngx_parse_url: an IPv6 address stands in brackets.
        resolvers=tuple(
            f"[{address}]" if address.version == 6 else str(address) for address in nameservers
        )
        or ("127.0.0.53",),
        port=settings.port,
        registries={name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
    )
    return Role(
        name="cache",
        variables={
            "cache_port": settings.port,
            "cache_files": render(settings, site),
            "cache_logins": _logins(context) if passwords else "",
            "cache_registries": {
                name: {
                    "url": settings.upstreams[name].url,
                    "port": port,
                    "user": settings.upstreams[name].user or "",
                }
                for name, port in ports.items()
            },
            "cache_passwords": {
                name: password for name, password in passwords.items() if name in ports
            },
        },
    )


COMPONENT = PackageCache
