"""The package cache: nginx, and a pull-through registry for each image registry."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pulumi

from layers.foundation.cache_files import FILES, Site, logins, render
from places import Container, File, Health, Place, Port, Role, Workload
from settings import images
from settings.foundation.cache import FIRST_REGISTRY_PORT, Cache, Upstream
from settings.mirrors import urls
from settings.names import Endpoint

DATA = "/var/lib/datalab-cache"
# Docker's own resolver, which answers in every network that a user made.
DOCKER_DNS = "127.0.0.11"


@dataclass(frozen=True, kw_only=True)
class PackageCacheArgs:
    """The cache's settings and where it answers; nameservers are the machine's.

    passwords are secret, by upstream: of exactly those that have a user.
    """

    settings: Cache
    passwords: Mapping[str, pulumi.Output[str]]
    place: Place
    publish: str  # the address that containers publish ports on
    address: Endpoint
    nameservers: tuple[IPv4Address | IPv6Address, ...]


class PackageCache(pulumi.ComponentResource):
    """The cache; `urls` (see settings.mirrors.urls) are known once it answers."""

    urls: pulumi.Output[dict[str, dict[str, str]]]

    def __init__(
        self, name: str, args: PackageCacheArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:foundation:PackageCache", name, None, opts)
        registries = registries_of(args.settings)
        if args.settings.container is not None:
            for upstream in registries:
                container = _registry(
                    f"{name}-{upstream}",
                    args.settings.upstreams[upstream],
                    args.passwords.get(upstream),
                )
                args.place.run(
                    self,
                    f"{name}-{upstream}",
                    Workload(container=container, machine=None, roles=()),
                )
        workload = Workload(
            container=_container(name, args),
            machine=args.settings.machine,
            roles=[_role(args)] if args.settings.machine else (),
        )
        ready = args.place.run(self, name, workload)
        self.urls = ready.apply(lambda _: urls(args.settings, args.address.url))
        self.register_outputs({"urls": self.urls})


def registries_of(settings: Cache) -> dict[str, int]:
    """Name of every oci upstream -> its registry's port on a machine."""
    names = sorted(name for name, up in settings.upstreams.items() if up.kind == "oci")
    return {name: FIRST_REGISTRY_PORT + index for index, name in enumerate(names)}


def _container(name: str, args: PackageCacheArgs) -> Container | None:
    size = args.settings.container
    if size is None:
        return None
    site = Site(
        resolvers=(DOCKER_DNS,),
        port=args.address.inner_port,
        registries={up: f"http://{name}-{up}:5000" for up in registries_of(args.settings)},
        user="nginx",
        temp_dir="/var/cache/nginx",
        log_dir=DATA,
        cache_dir=f"{DATA}/packages",
    )
    return Container(
        image=images.image("nginx"),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        files={
            **{path: File(content=text) for path, text in render(args.settings, site).items()},
            **(
                {f"{site.config_dir}/logins.conf": File(content=_logins(args), mode="0600")}
                if args.passwords
                else {}
            ),
            "/docker-entrypoint.d/50-tidy-loop.sh": File(
                content=(FILES / "tidy-loop.sh").read_text(encoding="utf-8"), mode="0755"
            ),
        },
        volumes={name: DATA},
        ports=[
            Port(inside=site.port, outside=args.settings.port, address=args.publish),
        ],
        health=Health(test=("CMD", "curl", "-fsS", f"http://127.0.0.1:{site.port}/healthz")),
    )


def _logins(args: PackageCacheArgs) -> pulumi.Output[str]:
    """The text of logins.conf, secret."""
    return pulumi.Output.all(**args.passwords).apply(
        lambda passwords: logins(args.settings, passwords)
    )


def _registry(
    name: str, upstream: Upstream, password: pulumi.Output[str] | None
) -> Container | None:
    size = upstream.container
    if size is None:
        raise ValueError(f"{name} has no container: the settings were not checked")
    variables: dict[str, pulumi.Input[str]] = {}
    if upstream.user and password is not None:
        user = upstream.user
        given = password.apply(lambda text: login(user, text))
        variables = {name: given[name] for name in login(user, "")}
    return Container(
        image=images.image("registry"),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        environment={
            "REGISTRY_PROXY_REMOTEURL": upstream.url,
            # What the proxy's clock finds too old it may also delete.
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "OTEL_TRACES_EXPORTER": "none",
            **variables,
        },
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


def _role(args: PackageCacheArgs) -> Role:
    ports = registries_of(args.settings)
    site = Site(
        # ngx_parse_url: an IPv6 address stands in brackets.
        resolvers=tuple(
            f"[{address}]" if address.version == 6 else str(address) for address in args.nameservers
        )
        or ("127.0.0.53",),
        port=args.settings.port,
        registries={name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
    )
    return Role(
        name="cache",
        variables={
            "cache_port": args.settings.port,
            "cache_files": render(args.settings, site),
            "cache_logins": _logins(args) if args.passwords else "",
            "cache_registries": {
                name: {
                    "url": args.settings.upstreams[name].url,
                    "port": port,
                    "user": args.settings.upstreams[name].user or "",
                }
                for name, port in ports.items()
            },
            "cache_passwords": {
                name: password for name, password in args.passwords.items() if name in ports
            },
        },
    )
