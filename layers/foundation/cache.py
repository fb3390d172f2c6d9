"""The package cache: nginx, and a pull-through registry for each image registry."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pulumi

from layers.foundation.cache_files import FILES, Site, render
from places import Container, File, Health, Place, Port, Role, Workload
from settings import images
from settings.cache import FIRST_REGISTRY_PORT, Cache, Upstream, urls
from settings.names import Endpoint

DATA = "/var/lib/datalab-cache"
# Docker's own resolver, which answers in every network that a user made.
DOCKER_DNS = "127.0.0.11"


@dataclass(frozen=True, kw_only=True)
class PackageCacheArgs:
    """The cache's settings and where it answers; nameservers are the machine's."""

    settings: Cache
    place: Place
    publish: str  # the address that containers publish ports on
    address: Endpoint
    nameservers: tuple[IPv4Address | IPv6Address, ...]


class PackageCache(pulumi.ComponentResource):
    """The cache; `urls` (see settings.cache.urls) are known once it answers."""

    urls: pulumi.Output[dict[str, dict[str, str]]]

    def __init__(
        self, name: str, args: PackageCacheArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:foundation:PackageCache", name, None, opts)
        registries = registries_of(args.settings)
        if args.settings.container is not None:
            for upstream in registries:
                container = _registry(f"{name}-{upstream}", args.settings.upstreams[upstream])
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


def _registry(name: str, upstream: Upstream) -> Container | None:
    size = upstream.container
    if size is None:
        raise ValueError(f"{name} has no container: the settings were not checked")
    return Container(
        image=images.image("registry"),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        environment={
            "REGISTRY_PROXY_REMOTEURL": upstream.url,
            # What the proxy's clock finds too old it may also delete.
            "REGISTRY_STORAGE_DELETE_ENABLED": "true",
            "OTEL_TRACES_EXPORTER": "none",
        },
        volumes={name: "/var/lib/registry"},
        health=Health(test=("CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:5000/")),
    )


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
            "cache_registries": {
                name: {"url": args.settings.upstreams[name].url, "port": port}
                for name, port in ports.items()
            },
        },
    )
