"""Faults of images.yaml: every command says where and what, whichever file it was asked about."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layers.refusals import refusals
from settings import images
from tests.cli.conftest import Checkout
from toolchain import install

KAFKA = next(line.strip() for line in images.PATH.read_text().splitlines() if "  kafka: " in line)
NGINX = f"tag: {images.read().images['nginx'].tag}"
COMMANDS = (
    ("check", "dev"),
    ("budget", "dev"),
    ("pin", "vault"),
    ("rehearse", "dev"),
    ("up", "dev"),
)


@pytest.fixture
def spoil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Replaces words of images.yaml, in a copy."""
    file = tmp_path / "images.yaml"
    text = images.PATH.read_text(encoding="utf-8")
    monkeypatch.setattr(images, "PATH", file)

    def change(*pairs: tuple[str, str]) -> None:
        changed = text
        for old, new in pairs:
            assert old in changed
            changed = changed.replace(old, new)
        file.write_text(changed, encoding="utf-8")
        images.catalogue.cache_clear()

    yield change
    images.catalogue.cache_clear()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_wrong_value_is_named_at_once(
    checkout: Checkout,
    spoil: Callable[..., None],
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(
        (NGINX, "tag: 1.28"),
        ("nginx, tag", "nginx, tga: x, tag"),
        (KAFKA, "kafka: { image: docker.io/apache/kafka }"),
    )
    assert checkout.lab(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if not line.startswith("images.yaml: ")] == []
    assert "images.yaml: images.nginx.tag: 1.28 is not text" in "\n".join(lines)
    assert "images.yaml: images.nginx.tga: unknown setting; did you mean tag?" in lines
    assert any(line.startswith("images.yaml: images.kafka.tag: is missing") for line in lines)
    assert len(lines) == 3


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_slip_in_yaml_is_named_by_its_line(
    checkout: Checkout,
    spoil: Callable[..., None],
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(("vault: { image", "vault: image"))
    assert checkout.lab(*words) == 2
    said = capsys.readouterr().err
    number = (
        images.PATH.read_text()
        .splitlines()
        .index(
            next(line for line in images.PATH.read_text().splitlines() if "vault: image" in line)
        )
    )
    assert said.startswith(f"images.yaml: line {number + 1}: ")
    assert len(said.splitlines()) == 1


def test_doctor_names_it_too(
    checkout: Checkout,
    spoil: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(install, "python_ready", lambda _: True)
    spoil((NGINX, "tag: 1.28"))
    assert checkout.lab("doctor", "dev") == 1
    assert "images.yaml: images.nginx.tag: 1.28 is not text" in capsys.readouterr().out


def test_a_file_that_is_no_map(spoil: Callable[..., None]) -> None:
    spoil()
    images.PATH.write_text("- images\n")
    with pytest.raises(images.CatalogueError, match=r"^images.yaml: \S"):
        images.catalogue()


def test_a_missing_entry_ends_the_program_readably(
    spoil: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.error", said.append)
    spoil(("  nginx: {", "  ngnix: {"))
    with pytest.raises(SystemExit), refusals():
        images.image("nginx")
    assert said == ["images.yaml: images.nginx: is missing; did you mean ngnix?"]
