"""The registries and mirrors that this machine itself is configured for, through the cache.

Nothing about them is written here: pip, npm and apt are asked at run time.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands.init.links import file_hosts
from cli.commands.init.upstreams import npm_registry, pip_index
from settings.mirrors import urls
from tests.cache.apt import Apt
from tests.cache.running import outside, running, settings
from tests.harness.process import clean_environment

pytestmark = pytest.mark.service

DISTRIBUTIONS = ("/debian", "/ubuntu")


def _run(*command: str | Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_wheel_from_this_machines_index(tmp_path: Path) -> None:
    index = pip_index()
    assert index is not None, "pip has no index here"
    hosts = file_hosts("pypi", index)
    cache = settings(pypi={"kind": "pypi", "url": index, "files": hosts})
    with running(cache, tmp_path, outside(tmp_path)) as started:
        url = urls(cache, started.url)["pypi"]["pypi"]
        for target in ("one", "two"):
            _run(
                Path(sys.executable).with_name("uv"),
                *("pip", "install", "--no-cache", "--index-url", url),
                *("--target", tmp_path / target, "--no-deps", "idna"),
                env=clean_environment(UV_NO_CONFIG="1"),
            )
            assert (tmp_path / target / "idna").is_dir()
        fetched = started.log("fetch")
        wheels = [row for row in fetched if row["uri"].endswith(".whl")]
        assert len(wheels) == 1
        assert wheels[0]["bytes"] > 10_000


def test_a_package_from_this_machines_npm_registry(tmp_path: Path) -> None:
    registry = npm_registry()
    assert registry is not None, "npm is not here"
    hosts = file_hosts("npm", registry)
    cache = settings(npm={"kind": "npm", "url": registry, "files": hosts})
    with running(cache, tmp_path, outside(tmp_path)) as started:
        url = urls(cache, started.url)["npm"]["npm"]
        for target in ("one", "two"):
            _run(
                *("npm", "install", "--prefix", tmp_path / target, "--registry", url),
                *("--cache", tmp_path / target / "cache", "left-pad@1.3.0"),
                env=clean_environment(NPM_CONFIG_USERCONFIG="/dev/null", NPM_CONFIG_AUDIT="false"),
            )
            assert (tmp_path / target / "node_modules/left-pad").is_dir()
        tarballs = [row for row in started.log("fetch") if row["uri"].endswith(".tgz")]
        assert len(tarballs) == 1


def test_packages_from_this_machines_archive(tmp_path: Path) -> None:
    """`apt-get update` and a download."""
    form = "$(REPO_URI) $(RELEASE)"
    command = ("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    listed = [line.split() for line in _run(*command, env=clean_environment()).splitlines()]
    # The distribution's own archive: vendors' do not have the package.
    archive, suite = next(row for row in listed if row[0].rstrip("/").endswith(DISTRIBUTIONS))
    name = archive.rstrip("/").rpartition("/")[2]
    key = Path(f"/usr/share/keyrings/{name}-archive-keyring.gpg")
    cache = settings(**{name: {"kind": "apt", "url": archive}})
    with running(cache, tmp_path, outside(tmp_path)) as started:
        for target in ("one", "two"):
            apt = Apt(tmp_path / target, f"{started.url}/{name}", key, suite)
            for step in (apt.run("update"), apt.run("download", "hello")):
                assert step.returncode == 0, step.stdout + step.stderr
        fetched = [row for row in started.log("fetch") if row["uri"].endswith(".deb")]
        assert len(fetched) == 1
