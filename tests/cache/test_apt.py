"""Real apt installs through the cache from signed repositories that change."""

import argparse
import random
import threading
import time
from pathlib import Path

import pytest

from cli.commands.cache import figures as command
from layers.foundation.cache_files import SLICE_KIB
from tests.cache.apt import Apt, Package, Repository
from tests.cache.conftest import Start
from tests.cache.origin import Fault, Origin
from tests.cache.running import Running
from tests.harness.apt_repository import Package as Flat
from tests.harness.apt_repository import apt_repository

pytestmark = pytest.mark.service

PREFIX = "/debian"
SLICE = SLICE_KIB * 1024


@pytest.fixture
def cache(start: Start, origin: Origin) -> Running:
    """A cache of the repository below PREFIX."""
    return start(archive={"kind": "apt", "url": f"{origin.url}{PREFIX}"})


def _repository(tmp_path: Path, by_hash: bool = True) -> Repository:
    return Repository(tmp_path / "repository", PREFIX, by_hash=by_hash)


def _client(tmp_path: Path, cache: Running, repository: Repository, name: str = "apt") -> Apt:
    return Apt(tmp_path / name, f"{cache.url}/archive", repository.keyring)


@pytest.mark.parametrize("by_hash", [True, False])
def test_install_and_again_without_an_origin(
    tmp_path: Path, cache: Running, origin: Origin, by_hash: bool
) -> None:
    repository = _repository(tmp_path, by_hash)
    packages = [repository.package(f"pkg{number}", "1.0", 300_000) for number in range(5)]
    origin.files.update(repository.publish(packages))
    names = [f"pkg{number}" for number in range(5)]
    first = _client(tmp_path, cache, repository)
    for step in (first.run("update"), first.download(names)):
        assert step.returncode == 0, step.stdout + step.stderr
    origin.stop()
    second = _client(tmp_path, cache, repository, "second")
    for step in (second.run("update"), second.download(names)):
        assert step.returncode == 0, step.stdout + step.stderr
    for package in packages:
        name = package.path.removeprefix("pool/").split("_")[0]
        assert second.archives()[name].read_bytes() == package.content


def test_install_from_a_flat_repository(tmp_path: Path, start: Start, origin: Origin) -> None:
    """Its packages are at `./pkg.deb`, as NVIDIA's are."""
    folder = tmp_path / "flat"
    folder.mkdir()
    origin.root = tmp_path
    cache = start(nvidia={"kind": "apt", "url": f"{origin.url}/flat"})
    with apt_repository(folder, f"{cache.url}/nvidia") as repository:
        repository.publish(Flat(name="pkg", version="1.0", files={"/usr/bin/pkg": "true\n"}))
        assert "Filename: ./pkg" in (folder / "Packages").read_text()
        client = Apt(tmp_path / "apt", repository.url, folder / "key.asc", suite="/")
        for _ in range(2):
            for step in (client.run("update"), client.download(["pkg"])):
                assert step.returncode == 0, step.stdout + step.stderr
            origin.stop()
        assert client.archives()["pkg"].read_bytes() == next(folder.glob("*.deb")).read_bytes()


def test_install_without_an_inrelease(tmp_path: Path, cache: Running, origin: Origin) -> None:
    """Release and Release.gpg are all that older repositories have."""
    repository = _repository(tmp_path, by_hash=False)
    repository.detached = True
    for version in ("1.0", "1.1"):
        origin.files.update(repository.publish([repository.package("pkg", version)]))
        client = _client(tmp_path, cache, repository, version)
        for step in (client.run("update"), client.download(["pkg"])):
            assert step.returncode == 0, step.stdout + step.stderr
        assert f"_{version}_" in client.archives()["pkg"].name


def test_an_update_is_seen_at_once(tmp_path: Path, cache: Running, origin: Origin) -> None:
    """Without by-hash, where an old index under a new release would be a hash mismatch."""
    repository = _repository(tmp_path, by_hash=False)
    clients = [_client(tmp_path, cache, repository, f"apt{number}") for number in range(3)]
    for version in ("1.0", "1.1", "1.2"):
        origin.files.update(repository.publish([repository.package("pkg", version)]))
        for client in clients:
            done = client.run("update")
            assert done.returncode == 0, done.stdout + done.stderr
            assert client.download(["pkg"]).returncode == 0
            assert f"_{version}_" in client.archives()["pkg"].name


@pytest.mark.parametrize("vendors", [False, True], ids=["cache's-address", "vendor's-address"])
def test_a_package_built_again_under_its_name_can_be_forgotten(
    tmp_path: Path,
    known: Running,
    origin: Origin,
    capsys: pytest.CaptureFixture[str],
    vendors: bool,
) -> None:
    """It was a hash mismatch for up to a year (#10.20). Both have the same time and no ETag."""
    repository = _repository(tmp_path)
    package = repository.package("pkg", "1.0+b1~rc1", 2 * SLICE)
    path = f"{PREFIX}/{package.path}"
    unmarked = {"Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT"}
    origin.faults[path] = Fault(etag=False, headers=unmarked)
    origin.files.update(repository.publish([package]))
    first = _client(tmp_path, known, repository, "one")
    assert (first.run("update").returncode, first.download(["pkg"]).returncode) == (0, 0)

    again = repository.package("pkg", "1.0+b1~rc1", 2 * SLICE, content="again")
    assert (again.path, len(again.content)) == (package.path, len(package.content))
    origin.files.update(repository.publish([again]))
    second = _client(tmp_path, known, repository, "two")
    assert second.run("update").returncode == 0
    broken = second.download(["pkg"])
    assert broken.returncode != 0
    assert "Hash Sum mismatch" in broken.stderr

    url = f"{origin.url}{path}" if vendors else f"{known.url}/archive/{again.path}"
    assert command.cache(argparse.Namespace(what="forget", of=url, json=False)) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"http://localhost:{known.site.port}/archive/{again.path}: ")
    assert "pkg_1.0%2bb1%7erc1_all.deb: " in said  # as apt spells it
    third = _client(tmp_path, known, repository, "three")
    for step in (third.run("update"), third.download(["pkg"])):
        assert step.returncode == 0, step.stdout + step.stderr
    assert third.archives()["pkg"].read_bytes() == again.content


def test_a_forged_index_is_refused_by_apt_and_not_for_long(
    tmp_path: Path, cache: Running, origin: Origin
) -> None:
    """The cache checks no signature and takes none away."""
    repository = _repository(tmp_path)
    origin.files.update(repository.publish([repository.package("pkg", "1.0")]))
    right = origin.files[f"{PREFIX}/dists/stable/InRelease"]
    origin.files[f"{PREFIX}/dists/stable/InRelease"] = right.replace(b"datalab", b"evillab")
    client = _client(tmp_path, cache, repository)
    assert client.run("update").returncode != 0
    origin.files[f"{PREFIX}/dists/stable/InRelease"] = right
    assert client.run("update").returncode == 0


def _updates(
    tmp_path: Path, cache: Running, origin: Origin, rounds: int, by_hash: bool
) -> list[str]:
    """What went wrong in `rounds` random updates of a repository under three busy clients.

    With by-hash the origin changes whenever it likes. Without it an update that falls between a
    client's InRelease and its Packages is a mismatch with or without a cache, so it waits until
    no client is between the two; all of them start right after it.
    """
    chance = random.Random(5)  # noqa: S311 - repeatable
    repository = _repository(tmp_path, by_hash)
    pool: dict[str, list[Package]] = {
        f"pkg{number}": [
            repository.package(f"pkg{number}", f"1.{version}", chance.randrange(100, 40_000))
            for version in range(4)
        ]
        for number in range(12)
    }
    stop = threading.Event()
    begin = threading.Barrier(4) if not by_hash else None
    faults: list[str] = []

    def choose() -> None:
        names = chance.sample(sorted(pool), chance.randrange(1, len(pool)))
        origin.files.update(repository.publish([chance.choice(pool[name]) for name in names]))

    def work(number: int) -> None:
        client = _client(tmp_path, cache, repository, f"apt{number}")
        while not stop.is_set():
            if begin is not None:
                begin.wait()
            done = client.run("update")
            if begin is not None:
                begin.wait()
            if done.returncode != 0:
                faults.append(done.stdout + done.stderr)

    choose()
    clients = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    for index in range(rounds):
        choose()
        if begin is None:
            time.sleep(chance.random() * 0.1)
            continue
        if index == rounds - 1:
            stop.set()
        begin.wait()  # all clients start
        begin.wait()  # all clients are done
    stop.set()
    for client in clients:
        client.join()
    return faults


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_hundred_random_updates(
    tmp_path: Path, cache: Running, origin: Origin, by_hash: bool
) -> None:
    assert _updates(tmp_path, cache, origin, 100 if by_hash else 30, by_hash) == []


@pytest.mark.long
@pytest.mark.parametrize("by_hash", [True, False])
def test_a_thousand_random_updates(
    tmp_path: Path, cache: Running, origin: Origin, by_hash: bool
) -> None:
    assert _updates(tmp_path, cache, origin, 1000, by_hash) == []


def test_an_origin_that_fails_now_and_then_gives_no_mismatch(
    tmp_path: Path, cache: Running, origin: Origin
) -> None:
    """Failing is all right, a wrong sum is not: the next try must not find a mixture stored."""
    chance = random.Random(7)  # noqa: S311 - repeatable
    repository = _repository(tmp_path, by_hash=False)
    packages = [repository.package("pkg", f"1.{version}") for version in range(10)]
    client = _client(tmp_path, cache, repository)
    for package in packages:
        state = repository.publish([package])
        origin.files.update(state)
        for _ in range(4):
            origin.faults = {
                path: Fault(status=500) for path in sorted(state) if chance.random() < 0.5
            }
            done = client.run("update")
            assert "Hash Sum mismatch" not in done.stdout + done.stderr
        origin.faults = {}
        assert client.run("update").returncode == 0
