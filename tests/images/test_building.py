"""What was built is kept, and what changed is built again: with two images that take no time."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.ci import images
from settings.recipe import Recipe
from targets import image as targets_image
from tests.harness.deploy import settings_of
from tests.harness.process import free_port
from tests.images import bases, building
from toolchain import install

pytestmark = pytest.mark.service

NAMES = ("runner", "deployer")
RECIPES = {name: Recipe(context=name, base={}) for name in NAMES}
PROGRAM = Path("/usr/bin/busybox")
# The time of its step tells one run of that from another.
DOCKERFILE = f"""\
FROM scratch
COPY busybox {PROGRAM}
RUN ["{PROGRAM}", "sh", "-c", "{PROGRAM} cat /proc/uptime >/when"]
COPY content /
"""


@dataclass
class Project:
    """Two images, and what each build of them left in the engine."""

    folder: Path
    port: int = field(default_factory=free_port)  # while another test may build the lab's images
    built: list[dict[str, tuple[str, str]]] = field(default_factory=list)

    def keep(self, how: str = "as always") -> Path:
        """What is kept of these files' images."""
        versions = [targets_image.version(recipe) for recipe in RECIPES.values()]
        return building.built("images", how, bases.digest(versions), self._build)

    def _build(self, folder: Path) -> None:
        with building.job(folder, self.port) as job:
            job.build(settings_of("dev"), RECIPES)
            manifest = json.loads((folder / "out" / images.FILE).read_text())
            found = {}
            for name in NAMES:
                words = ("run", "--rm", "--network=none", manifest[name]["image"], PROGRAM, "cat")
                said = [bases.docker(*words, file).strip() for file in ("/content", "/when")]
                found[name] = (said[0], said[1])
            self.built.append(found)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
        (folder / PROGRAM.name).chmod(0o755)
        (folder / "content").write_text("old")
    distribution = bases.distribution()
    monkeypatch.setattr(bases, "distribution", lambda: distribution)
    monkeypatch.setattr(install, "cache_folder", lambda: tmp_path / "cache")
    for module in (images, targets_image):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return Project(tmp_path)


def test_what_changed_is_built_again_and_nothing_else(project: Project) -> None:
    first = project.keep()
    assert project.keep() == first
    (before,) = project.built
    assert before["runner"][0] == "old"

    (project.folder / "runner" / "content").write_text("new")
    assert project.keep() != first
    after = project.built[-1]
    assert after == {**before, "runner": ("new", before["runner"][1])}

    file = project.folder / "runner" / "Dockerfile"
    file.write_text(DOCKERFILE.replace("cat /proc", "head -n 1 /proc"))
    project.keep()
    now = project.built[-1]
    assert now["deployer"] == before["deployer"]
    assert now["runner"][1] != before["runner"][1]


def test_of_another_way_to_build_nothing_is_taken_over(project: Project) -> None:
    project.keep()
    project.keep("otherwise")
    before, after = project.built
    for name in NAMES:
        assert after[name][0] == before[name][0]
        assert after[name][1] != before[name][1]
