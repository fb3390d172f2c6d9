"""Images that the lab builds itself, on the Docker host that will run them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pulumi
import pulumi_docker as docker

from settings.images import Pushed
from settings.recipe import Recipe

ROOT = Path(__file__).parent.parent
# The part of a SHA-256 that tells versions apart: 48 bits, as short as git's own.
VERSION_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where images are pushed: url has a scheme, path is host:port/group/project."""

    url: str
    path: pulumi.Input[str]
    username: str
    password: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class Builder:
    """How images are built on one engine.

    sources are build arguments that say where packages come from, and no part of the version;
    hosts are names that a build could not resolve otherwise. platform is set where the engine is
    not of this machine's kind. Without a registry an image stays in the engine. pushed are the
    images that the registry has, by name: of the same version they are run and not built again.
    """

    sources: Mapping[str, str]
    hosts: Mapping[str, str]
    platform: str | None
    registry: Registry | None = None
    pushed: Mapping[str, Pushed] = field(default_factory=dict)

    @property
    def network(self) -> str | None:
        """The network of a build's commands: the cache of `dev` listens on loopback only."""
        return "host" if self.sources and not self.hosts else None

    @property
    def add_hosts(self) -> list[str]:
        """`hosts` as docker takes them."""
        return [f"{host}:{address}" for host, address in sorted(self.hosts.items())]


@dataclass(frozen=True, kw_only=True)
class BuiltImageArgs:
    """What is built, and how."""

    recipe: Recipe
    builder: Builder


class BuiltImage(pulumi.ComponentResource):
    """An image; `reference` is what to run: by digest, or by version where there is no registry."""

    reference: pulumi.Output[str]

    def __init__(self, name: str, args: BuiltImageArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:places:BuiltImage", name, None, opts)
        registry, now = args.builder.registry, version(args.recipe)
        pushed = args.builder.pushed.get(name) if registry else None
        if registry and pushed and pushed.version == now:
            self.reference = pulumi.Output.concat(registry.path, "/", name, "@", pushed.digest)
        else:
            if pushed:
                stale = f"the manifest has {name}:{pushed.version}, these files are {now}"
                pulumi.log.info(f"{stale}: it is built here", self)
            image = self._build(name, f"{name}:{now}", args)
            self.reference = image.repo_digest if registry else image.image_name
        self.register_outputs({"reference": self.reference})

    def _build(self, name: str, tag: str, args: BuiltImageArgs) -> docker.Image:
        recipe, builder, registry = args.recipe, args.builder, args.builder.registry
        # Not docker-build: it cannot give the lab's engine a client certificate (no TLS options in
        # its v0.0.22), and builds would need an engine on the machine that runs `up`.
        return docker.Image(
            f"{name}-build",
            image_name=(
                pulumi.Output.concat(registry.path, "/", tag) if registry else f"datalab/{tag}"
            ),
            build=docker.DockerBuildArgs(
                context=recipe.context,
                dockerfile=_dockerfile(recipe),
                args={**recipe.base, **builder.sources},
                add_hosts=builder.add_hosts,
                network=builder.network,
                platform=builder.platform,
                builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
            ),
            build_on_preview=False,  # a preview needs no engine
            skip_push=registry is None,  # it pushes otherwise, to Docker Hub
            registry=docker.RegistryArgs(
                server=registry.url,
                username=registry.username,
                password=pulumi.Output.secret(registry.password),
            )
            if registry
            else None,
            opts=pulumi.ResourceOptions(parent=self),
        )


def version(recipe: Recipe) -> str:
    """The image's version: a hash of all that is in it, the same on every machine."""
    found = hashlib.sha256()
    parts = [("Dockerfile", ROOT / _dockerfile(recipe)), *_files(recipe)]
    for name, path in parts:
        executable = bool(path.stat().st_mode & 0o100)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{name}\0{executable}\0{content}\n".encode())
    for name, image in sorted(recipe.base.items()):
        found.update(f"{name}\0{image}\n".encode())
    return found.hexdigest()[:VERSION_LENGTH]


def _dockerfile(recipe: Recipe) -> str:
    return recipe.dockerfile or f"{recipe.context}/Dockerfile"


def _files(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    root, ignored = ROOT / recipe.context, _ignored(recipe)
    folders = [root / part for part in recipe.parts] or [root]
    for path in sorted(path for folder in folders for path in (folder, *folder.rglob("*"))):
        relative = path.relative_to(root)
        hidden = any(fnmatchcase(part, name) for part in relative.parts for name in ignored)
        if path.is_file() and not hidden:
            yield relative.as_posix(), path


def _ignored(recipe: Recipe) -> tuple[str, ...]:
    """The names that the build leaves out, as Docker reads them for this Dockerfile."""
    own = ROOT / f"{_dockerfile(recipe)}.dockerignore"
    for file in (own, ROOT / recipe.context / ".dockerignore"):
        if file.exists():
            lines = file.read_text(encoding="utf-8").split()
            first = ["*", *(f"!{part}" for part in recipe.parts)] if recipe.parts else []
            names = lines[len(first) :]
            wrong = [line for line in names if not line.startswith("**/")]
            if wrong or lines[: len(first)] != first:
                raise ValueError(
                    f"{file}: only lines **/NAME are understood, not {wrong}, after {first}"
                )
            return tuple(line.removeprefix("**/") for line in names)
    if recipe.parts:
        raise ValueError(f"{own}: is missing, so the build would take more than {recipe.parts}")
    return ()
