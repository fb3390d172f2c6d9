"""`down` and `repair` run providers without the program, which else writes the CA's certificate."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.lib import backend
from cli.lib.fault import Fault
from targets.trust import keep
from toolchain import install

PEM = "-----BEGIN CERTIFICATE-----\nlab\n-----END CERTIFICATE-----\n"


def put(monkeypatch: pytest.MonkeyPatch, root: Path, url: str, answer: str | None) -> None:
    def capture(*_: str) -> str:
        if answer is None:
            raise Fault("there is no such stack")
        return answer

    engine: Any = SimpleNamespace(capture=capture)
    settings: Any = SimpleNamespace(common=SimpleNamespace(trust_path=Path("trust")))
    monkeypatch.setattr(install, "ROOT", root)
    monkeypatch.setattr(backend, "url", lambda _: url)
    backend.trust(engine, "lab", settings)


def test_a_fresh_checkout_gets_the_certificate_where_the_program_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(monkeypatch, tmp_path, "s3://pulumi-state", PEM + "\n")
    written = Path(keep(PEM, tmp_path / "trust"))
    assert [written] == list((tmp_path / "trust").iterdir())
    assert written.read_text() == PEM


def test_without_a_foundation_there_is_nothing_to_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(monkeypatch, tmp_path, "s3://pulumi-state", None)
    assert not (tmp_path / "trust").exists()
