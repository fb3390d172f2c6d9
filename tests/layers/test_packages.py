"""Images made from packages in the vendors' place, where the settings say so."""

import shutil
from pathlib import Path

import pytest

from cli.lib.packaged.build import needed
from settings import packaged
from settings.packaged import PREFIX, contracts
from tests.harness.deploy import settings_of, shared

PULLED = "docker:index/remoteImage:RemoteImage"
BUILT = "docker:index/image:Image"
OURS = {
    **{"store-image": "silo", "vault-image": "openbao", "cache-image": "nginx"},
    **{"kafka-image": "kafka", "postgresql-image": "postgresql", "gateway-image": "nginx"},
    **{"ollama-image": "ollama", "open-webui-image": "open-webui", "portainer-image": "portainer"},
}
MADE = {"common.target.images": "packages", "foundation.vault.engine": "openbao"}


@pytest.mark.slow
def test_containers_run_on_what_is_made_here() -> None:
    found = {
        image.name: image.inputs["name"]
        for layer in shared("dev", MADE).values()
        for image in layer.all(PULLED)
    }
    for resource, name in OURS.items():
        assert found[resource] == contracts()[name].reference
    # Nothing is left that an engine would have to pull.
    built = {image.name for layer in shared("dev", MADE).values() for image in layer.all(BUILT)}
    others = {name for name, image in found.items() if not image.startswith(PREFIX)}
    assert others <= {name.replace("-build", "-image") for name in built}


def test_what_the_lab_builds_is_built_on_them() -> None:
    bases = {
        argument: base
        for layer in shared("dev", MADE).values()
        for image in layer.all(BUILT)
        for argument, base in image.inputs["build"]["args"].items()
        if argument.endswith("_IMAGE")
    }
    assert bases["PYTHON_IMAGE"] == contracts()["python"].reference
    assert bases["NODE_IMAGE"] == contracts()["node"].reference
    assert all(base.startswith(PREFIX) for base in bases.values())


@pytest.mark.slow
def test_otherwise_nothing_is_named_like_them() -> None:
    for layer in shared("dev").values():
        for resource in layer.resources:
            assert PREFIX not in repr(resource.inputs)


def test_what_is_made_is_what_the_settings_ask_for() -> None:
    assert needed(settings_of("dev")) == []
    assert needed(settings_of("lab")) == []
    names = {contract.name for contract in needed(settings_of("dev", MADE))}
    assert names == {contract.name for contract in contracts().values()} - {"vault"}


def test_a_changed_file_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nginx = contracts()["nginx"]
    before = nginx.reference
    shutil.copytree(packaged.FOLDER, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    assert nginx.reference == before
    with (tmp_path / "nginx" / "nginx.conf").open("a") as file:
        file.write("# changed\n")
    assert nginx.reference != before
