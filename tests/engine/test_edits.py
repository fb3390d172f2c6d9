"""Whatever is edited, a rehearsal says what the engine then does: a sweep, under `--long`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from layers import LAYERS
from rehearsal import earlier
from settings import images, load
from tests.engine.edits import edit, machines
from tests.engine.lab import Lab, bring_up, lab
from tests.harness.deploy import stack_config
from toolchain import install

pytestmark = [pytest.mark.engine, pytest.mark.long]
SUMS = images.PATH.with_name("images.sum")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """`lab`, up, by a checkout of its own, whose images.yaml can be changed."""
    checkout = tmp_path_factory.mktemp("checkout")
    earlier.follow(checkout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(install, "ROOT", checkout)
        (checkout / ".venv").symlink_to(install.VENV)
        settings = {"common.unpinned_downloads": "allow"}
        with lab("lab", tmp_path_factory.mktemp("lab"), settings) as made:
            bring_up(made)
            yield made


@pytest.fixture
def here(standing: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The same from a snapshot."""
    monkeypatch.setattr(standing.world, "facts", standing.world.facts)
    standing.restore(f"after {LAYERS[-1]}")
    for file in (images.PATH, SUMS):
        shutil.copy(file, install.ROOT / file.name)
    return standing


def test_another_domain(here: Lab) -> None:
    done = edit(here, "common.domain=casa.home.arpa")
    done.equal()
    assert set(done.effects.reboots) == set(machines(here))
    assert not done.effects.deleted


@pytest.mark.parametrize(
    ("key", "machine"),
    [
        ("foundation.object_store", "store"),
        ("foundation.vault", "vault"),
        ("foundation.cache", "cache"),
        ("platform.docker", "docker"),
        ("platform.gitlab", "gitlab"),
    ],
)
def test_the_memory_of_each_machine(here: Lab, key: str, machine: str) -> None:
    layer, service = key.split(".")
    settings = load(stack_config("lab"), "Pulumi.lab.yaml")
    memory = getattr(getattr(settings, layer), service).machine.memory_mib + 64
    done = edit(here, f"{key}.machine.memory_mib={memory}")
    done.equal()
    assert done.effects.reboots == (machine,)
    assert not (done.effects.replaced or done.effects.deleted or done.effects.away)


@pytest.mark.parametrize("name", sorted(images.catalogue().images))
def test_each_image_of_images_yaml(here: Lab, name: str) -> None:
    another(f"images.{name}.tag")
    edit(here).equal()


@pytest.mark.parametrize("name", sorted(images.catalogue().downloads))
def test_each_download_of_images_yaml(here: Lab, name: str) -> None:
    another(f"downloads.{name}.version")
    done = edit(here)
    done.rebooted |= {"docker"} if name == "nvidia-driver" else set()
    done.equal()
    assert not (done.effects.replaced or done.effects.deleted)


def another(key: str) -> None:
    """Change a version in the checkout's images.yaml, of which images.sum has no sum then."""
    file: Path = install.ROOT / images.PATH.name
    document = yaml.safe_load(file.read_text())
    *path, last = key.split(".")
    holder = document
    for step in path:
        holder = holder[step]
    old, holder[last] = str(holder[last]), f"{holder[last]}1"
    file.write_text(yaml.safe_dump(document))
    sums = install.ROOT / SUMS.name
    others = [line for line in sums.read_text().splitlines(keepends=True) if old not in line]
    sums.write_text("".join(others))
