"""The package cache's settings and declaration; settings/mirrors.py has its clients' addresses."""

from ipaddress import IPv4Network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from settings.addresses import Origin, Url
from settings.base import Container, Domain, Model, Name, Port, User
from settings.defaults import ByTarget
from settings.images import catalogue
from settings.machines import Lxc
from settings.service import Listener, Service
from settings.upstreams import DOCKER, PROXMOX

Kind = Literal["apt", "apk", "pypi", "npm", "oci", "pulumi", "files"]

# Paths that the cache answers itself.
RESERVED = ("healthz", "v2")
# Freshness of indexes in seconds. apt's must fit its release file, so they are checked each time.
INDEX_TTL_S: dict[Kind, int] = {"apt": 0, "apk": 60, "pypi": 300, "npm": 300, "files": 300}
# Their clients check signatures or hashes that came over another way, so TLS adds nothing.
SIGNED: tuple[Kind, ...] = ("apt", "apk")
# Whose documents name other hosts that the files are on.
LINKING: tuple[Kind, ...] = ("pypi", "npm")
# Other addresses of an archive: Ubuntu's has the security suites too.
ALIASES = {"security.ubuntu.com/ubuntu": "archive.ubuntu.com/ubuntu"}
# The documents that an index may be, by what a client accepts (files/cache/nginx.conf.j2).
INDEXES: dict[Kind, tuple[str, ...]] = {
    "pypi": ("*/*", "application/vnd.pypi.simple.v1+json"),
    "npm": ("*/*", "application/vnd.npm.install-v1+json"),
}
DOCKER_HUB = "docker.io"
# Ubuntu 24.04's LXC template with nginx is 1.1 GiB; logs and package lists need the rest.
SYSTEM_GIB = 4
PRIVATE = tuple(
    IPv4Network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)

# Upstream of plugins -> the source that it stands in for, and the path below it. Pulumi (3.259,
# workspace/plugins.go) looks on GitHub for its own plugins first; the first pattern that fits wins.
PLUGIN_SOURCES = {
    "https://get.pulumi.com/releases/plugins": ("^github://api.github.com/pulumi(/|$)", ""),
    "https://github.com": (
        "^github://api.github.com/([^/]+)/([^/]+)$",
        "/$1/$2/releases/download/v${VERSION}",
    ),
}

# All names of a kind stand in one regular expression, and a parameter of nginx has at most 4,096
# characters (ngx_conf_file.c, NGX_CONF_BUFFER): 48 names of 63 leave a quarter for the rest.
MOST_UPSTREAMS = 48
# The first of the registries' ports on a machine's loopback; each upstream has the next one.
FIRST_REGISTRY_PORT = 5101
# With all redirects and files. Each is a location that reads the CAs for itself: 0.9 MB and 18 ms
# of nginx's start (measured, 1.22), twice for an upstream's own address.
MOST_ADDRESSES = 64


class Upstream(Model):
    """A repository on the net that the cache serves under /NAME/."""

    kind: Kind = Field(description="What kind of repository it is")
    url: Url = Field(
        default="",
        description="Its address, as a client without a cache would write it; default: that of "
        "the repository of the same name in images.yaml",
    )
    index_ttl_s: int | None = Field(
        default=None,
        ge=0,
        # A day: what was withdrawn or fixed upstream must not live on for longer.
        le=86_400,
        description="How long an index counts as fresh; default by kind. For apt only above 0 "
        "where the archive has by-hash",
    )
    user: User | None = Field(
        default=None, description="Whose login the cache uses there; its password is a secret"
    )
    artifact_days: int = Field(
        default=365,
        ge=1,
        le=3650,
        description="How long a file counts as fresh that never changes under its name",
    )
    redirects: tuple[Origin, ...] = Field(
        default=(),
        max_length=MOST_ADDRESSES,
        description="Other hosts that the upstream may send the cache to",
    )
    files: tuple[Origin, ...] = Field(
        default=(),
        max_length=MOST_ADDRESSES,
        description="Other hosts that its documents link to (pypi, npm)",
    )
    registry: Domain | None = Field(
        default=None, description="The name that images of this registry begin with (oci)"
    )
    container: Container | None = Field(
        default=None, description="What its pull-through registry may use in `dev` (oci)"
    )
    allow_http: bool = Field(
        default=False, description="Whether to trust a pypi, npm, oci or files host without TLS"
    )

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every origin that it may be fetched from, its own first."""
        return (self.origin, *self.redirects, *self.files)

    @property
    def path(self) -> str:
        """The path of `url` without a slash at its end."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def ttl_s(self) -> int:
        """Freshness of indexes in seconds."""
        return INDEX_TTL_S.get(self.kind, 0) if self.index_ttl_s is None else self.index_ttl_s

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = []
        local = (urlsplit(self.url).hostname or "").startswith("127.")
        plain = [url for url in (self.url, *self.redirects, *self.files) if url[:5] == "http:"]
        if plain and not (self.kind in SIGNED or self.allow_http or local):
            faults.append(
                f"{plain[0]} has no TLS and {self.kind} has no signatures: use https, or set "
                "allow_http where you trust the way to it"
            )
        if self.user and self.url[:6] != "https:":
            faults.append("user needs a url of its own with https, as a password goes there")
        if self.files and self.kind not in LINKING:
            faults.append(f"files is only for {' and '.join(LINKING)}, not for {self.kind}")
        if self.kind == "oci" and self.registry is None:
            faults.append("kind oci needs registry, for example ghcr.io")
        if self.kind != "oci" and (self.registry or self.container):
            faults.append(f"registry and container are only for oci, not for {self.kind}")
        if self.kind == "oci" and (self.path or self.redirects or self.index_ttl_s is not None):
            faults.append(
                "kind oci has only url, user, registry and container: the registry does the rest"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Cache(Model):
    """The package cache."""

    port: Port = 8480
    max_size_gib: int = Field(
        default=10, ge=1, le=65_536, description="What is stored at most, without registries"
    )
    # nginx enforces max_size only after the fact, so what arrives meanwhile must find room.
    min_free_gib: int = Field(
        default=2,
        ge=1,
        le=65_536,
        description="Disk space that the cache leaves free, evicting for it",
    )
    # nginx: "one megabyte zone can store about 8 thousand keys"; a key is a file or a slice of one.
    keys_mib: int = Field(default=16, ge=1, le=1024, description="Memory for the index in MiB")
    clients: tuple[IPv4Network, ...] = Field(
        default=PRIVATE, min_length=1, max_length=256, description="Networks that may use it"
    )
    upstreams: Annotated[dict[Name, Upstream], ByTarget(docker=DOCKER, proxmox=PROXMOX)] = Field(
        max_length=MOST_UPSTREAMS, description="What it serves, by name"
    )
    container: Annotated[Container | None, ByTarget(docker={"memory_mib": 256})] = None
    machine: Lxc | None = None

    @field_validator("upstreams")
    @classmethod
    def _known(cls, upstreams: dict[str, Upstream]) -> dict[str, Upstream]:
        """An address that stands in images.yaml already is not written a second time."""
        known = catalogue().repositories
        for name, upstream in upstreams.items():
            if not upstream.url and name not in known:
                raise ValueError(f"{name}.url is missing, and images.yaml has no repository {name}")
        return {
            name: upstream if upstream.url else upstream.model_copy(update={"url": known[name].url})
            for name, upstream in upstreams.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [
            f"upstreams.{name}: the cache answers /{name} itself, choose another name"
            for name in self.upstreams
            if name in RESERVED
        ]
        together = [url for up in self.upstreams.values() for url in up.addresses]
        if len(together) > MOST_ADDRESSES:
            faults.append(
                f"upstreams has {len(together)} addresses with all redirects and files; the most "
                f"is {MOST_ADDRESSES}, as each costs the cache memory and a slower start"
            )
        owners: dict[str, str] = {}
        for name, upstream in self.upstreams.items():
            if upstream.registry and owners.setdefault(upstream.registry, name) != name:
                faults.append(
                    f"upstreams.{name}.registry: {upstream.registry} already belongs to "
                    f"upstreams.{owners[upstream.registry]}"
                )
        size = self.max_size_gib + self.min_free_gib
        if self.machine is not None and size > self.machine.disk_gib - SYSTEM_GIB:
            faults.append(
                f"max_size_gib and min_free_gib are {size} together, but of the machine's "
                f"{self.machine.disk_gib} GiB the system needs {SYSTEM_GIB}"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self


SERVICE = Service(
    key="foundation.cache",
    settings=Cache,
    order=30,
    image="nginx",
    image_of_entries="registry",
    own_ports={
        8481: "its fetching server",
        **{FIRST_REGISTRY_PORT + n: "a registry" for n in range(MOST_UPSTREAMS)},
    },
    listeners=(
        Listener(
            name="cache",
            scheme="http",
            exposure="machine",
            inner_port=8480,
            label="Package cache",
        ),
    ),
)
