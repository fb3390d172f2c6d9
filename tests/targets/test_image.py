"""The lab's own images: versions by content, and where they go."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cli.ci.images import recipes
from settings import images
from settings.images import PUSHED
from settings.recipe import Recipe
from targets import image
from targets.image import version
from tests.harness.deploy import Registered, deploy, deploy_on_sample
from tests.layers.containers import world

UPSTREAMS = {
    "pypi": {"kind": "pypi", "url": "https://pypi.test/simple"},
    "npm": {"kind": "npm", "url": "https://npm.test"},
    "ubuntu": {"kind": "apt", "url": "http://archive.test/ubuntu"},
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one image."""
    monkeypatch.setattr(image, "ROOT", tmp_path)
    context = tmp_path / "images/one"
    context.mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM scratch\n")
    (context / "main.py").write_text("print(1)\n")
    return tmp_path


ONE = Recipe(context="images/one", base={"BASE": "docker.io/library/debian:12"})


def test_version_is_the_same_wherever_the_checkout_is(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = version(ONE)
    assert len(first) == 12
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "clone"
    root.rename(elsewhere)
    monkeypatch.setattr(image, "ROOT", elsewhere)
    assert version(ONE) == first


def test_what_images_sum_says_counts_when_an_image_is_built_not_when_its_module_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: version(recipe) for name, recipe in recipes().items()}
    every = dict.fromkeys((pin.name for pin in images.read().pins()), "0" * 64)
    monkeypatch.setattr(images, "sums", lambda: every)
    after = {name: version(recipe) for name, recipe in recipes().items()}
    assert [name for name in before if before[name] == after[name]] == []


@pytest.mark.parametrize("change", ["content", "new file", "name", "mode", "Dockerfile", "base"])
def test_version_changes_with_everything_that_is_in_the_image(root: Path, change: str) -> None:
    before, recipe = version(ONE), ONE
    context = root / "images/one"
    match change:
        case "content":
            (context / "main.py").write_text("print(2)\n")
        case "new file":
            (context / "empty").touch()
        case "name":
            (context / "main.py").rename(context / "other.py")
        case "mode":
            (context / "main.py").chmod(0o755)
        case "Dockerfile":
            (context / "Dockerfile").write_text("FROM scratch AS base\n")
        case "base":
            recipe = Recipe(context=ONE.context, base={"BASE": "docker.io/library/debian:13"})
    assert version(recipe) != before


def test_what_the_build_ignores_is_no_part_of_the_version(root: Path) -> None:
    context = root / "images/one"
    (context / ".dockerignore").write_text("**/__pycache__\n**/*.in\n")
    before = version(ONE)
    (context / "deep/__pycache__").mkdir(parents=True)
    (context / "deep/__pycache__/main.pyc").write_text("cache")
    (context / "requirements.in").write_text("x")
    assert version(ONE) == before
    (context / "deep/kept").write_text("y")
    assert version(ONE) != before


def test_ignore_lines_that_docker_reads_differently_are_refused(root: Path) -> None:
    (root / "images/one/.dockerignore").write_text("node_modules\n")
    with pytest.raises(ValueError, match="only lines \\*\\*/NAME"):
        version(ONE)


def test_a_dockerfile_outside_of_its_context_has_its_own_ignore_file(root: Path) -> None:
    shared = root / "shared"
    shared.mkdir()
    (shared / "part").write_text("x")
    (root / "images/one/Dockerfile.dockerignore").write_text("**/junk\n")
    recipe = Recipe(context="shared", dockerfile="images/one/Dockerfile", base={})
    before = version(recipe)
    (shared / "junk").write_text("y")
    assert version(recipe) == before


def test_parts_of_a_context_are_all_that_is_in_the_image(root: Path) -> None:
    (root / "images/one/Dockerfile.dockerignore").write_text("*\n!code\n!pins\n**/junk\n")
    (root / "code/deep").mkdir(parents=True)
    for name in ("pins", "code/main.py", "code/deep/junk", "secret"):
        (root / name).write_text("x")
    recipe = Recipe(
        context=".", dockerfile="images/one/Dockerfile", parts=("code", "pins"), base={}
    )
    before = version(recipe)
    for name in ("secret", "code/deep/junk"):
        (root / name).write_text("y")
    assert version(recipe) == before
    for name in ("pins", "code/main.py"):
        (root / name).write_text("y")
        now = version(recipe)
        assert now != before
        before = now


@pytest.mark.parametrize("lines", [None, "**/junk\n", "!code\n*\n", "*\n!code\n!secret\n"])
def test_parts_that_the_build_would_not_take_alike_are_refused(
    root: Path, lines: str | None
) -> None:
    if lines is not None:
        (root / "images/one/Dockerfile.dockerignore").write_text(lines)
    recipe = Recipe(context=".", dockerfile="images/one/Dockerfile", parts=("code",), base={})
    with pytest.raises(ValueError, match=r"Dockerfile\.dockerignore: "):
        version(recipe)


def builds(variant: str) -> dict[str, Registered]:
    layers = world(variant).values()
    return {
        built.name: built for layer in layers for built in layer.all("docker:index/image:Image")
    }


def pulled(variant: str, name: str) -> str:
    found: str = next(
        layer.one("RemoteImage", f"{name}-image").inputs["name"]
        for layer in world(variant).values()
        if any(r.name == f"{name}-image" for r in layer.resources)
    )
    return found


def test_without_gitlab_images_stay_in_the_engine() -> None:
    found = builds("dev")
    assert set(found) == {
        f"{name}-build" for name in ("lake-writer", "mlflow", "model-server", "web", "runner")
    }
    for built in found.values():
        assert built.inputs["skipPush"] is True
        assert built.inputs["imageName"].startswith("datalab/")
        assert "registry" not in built.inputs
    assert pulled("dev", "mlflow") == found["mlflow-build"].inputs["imageName"]


@pytest.mark.parametrize(
    ("variant", "host", "scheme"),
    [("dev with GitLab", "localhost", "http"), ("lab", "registry.lab.home.arpa", "https")],
)
def test_with_gitlab_images_are_pushed_and_run_by_digest(
    variant: str, host: str, scheme: str
) -> None:
    for name, built in builds(variant).items():
        assert built.inputs["skipPush"] is False
        assert built.inputs["imageName"].startswith(f"{host}:5050/datalab/datalab/"), name
        assert built.inputs["registry"]["server"] == f"{scheme}://{host}:5050"
        assert "registry" in built.secret
    assert "@sha256:" in pulled(variant, "web")


def test_previews_build_nothing_and_paths_are_the_same_on_every_machine() -> None:
    for built in builds("lab").values():
        assert built.inputs["buildOnPreview"] is False
        assert not built.inputs["build"]["context"].startswith("/")
        assert not built.inputs["build"]["dockerfile"].startswith("/")
        assert built.inputs["build"]["platform"] == "linux/amd64"


def test_no_build_argument_is_secret() -> None:
    for variant in ("dev with GitLab", "lab"):
        for built in builds(variant).values():
            assert "build" not in built.secret, built.name


@pytest.mark.parametrize("environment", ["dev", "lab"])
@pytest.mark.slow
def test_builds_install_through_the_cache(environment: str) -> None:
    change: dict[str, Any] = {"foundation.cache.upstreams": UPSTREAMS}
    change["common.unpinned_downloads"] = "allow"
    built = deploy(environment, change)["apps"].one("docker:index/image:Image", "web-build")
    arguments = built.inputs["build"]["args"]
    host = "localhost" if environment == "dev" else "cache.lab.home.arpa"
    assert arguments["NPM_CONFIG_REGISTRY"] == f"http://{host}:8480/npm/"
    assert arguments["PIP_INDEX_URL"] == f"http://{host}:8480/pypi/simple/"
    assert arguments["PIP_TRUSTED_HOST"] == host
    assert arguments["UBUNTU_MIRROR"] == f"http://{host}:8480/ubuntu"
    if environment == "dev":
        assert built.inputs["build"]["network"] == "host"
    else:
        assert "cache.lab.home.arpa:192.168.1.103" in built.inputs["build"]["addHosts"]


def manifest(**versions: str) -> dict[str, str]:
    """A manifest with these versions in the settings, as `./lab ci` writes it there."""
    image = "registry.test:5050/a/b/{}@sha256:" + "ab" * 32
    text = {n: {"version": v, "image": image.format(n)} for n, v in versions.items()}
    return {f"datalab:{PUSHED}": json.dumps(text)}


def test_what_the_pipeline_pushed_is_run_and_not_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lambda text, *_: said.append(text))
    now = {name: version(recipes()[name]) for name in ("web", "mlflow")}
    change = manifest(runner="0" * 12, **now)
    layers = {layer: deploy_on_sample(layer, "lab", change) for layer in ("services", "apps")}
    built = {b.name for layer in layers.values() for b in layer.all("docker:index/image:Image")}
    # Not there, or there with other files in it.
    here = ("lake-writer", "model-server", "runner", "deployer")
    assert built == {f"{name}-build" for name in here}
    place = "registry.lab.home.arpa:5050/datalab/datalab"
    assert layers["apps"].outputs["images"]["web"] == f"{place}/web@sha256:{'ab' * 32}"
    for layer, name in (("apps", "web"), ("services", "mlflow")):
        image = layers[layer].one("RemoteImage", f"{name}-image")
        assert image.inputs["name"] == f"{place}/{name}@sha256:{'ab' * 32}"
    assert "ab" * 32 not in layers["apps"].outputs["images"]["runner"]
    assert len(said) == 1
    assert f"the manifest has runner:{'0' * 12}, these files are" in said[0]


def test_without_a_registry_or_a_manifest_everything_is_built() -> None:
    assert len(world("lab")["apps"].all("docker:index/image:Image")) == 5
    change = manifest(web=version(recipes()["web"]))
    built = deploy_on_sample("apps", "dev", change)
    assert built.one("docker:index/image:Image", "web-build")
