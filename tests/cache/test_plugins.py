"""The real Pulumi fetches its plugins through the cache."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from settings.mirrors import environment
from tests.cache.origin import Fault, Origin
from tests.cache.origin import origin as make_origin
from tests.cache.running import Running, running, settings, site
from tests.harness.process import clean_environment
from toolchain import obtain, pulumi_cli

pytestmark = pytest.mark.service

PULUMI = "https://get.pulumi.com/releases/plugins"
GITHUB = "https://github.com"


def _plugin(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(f"pulumi-resource-{name}")
        entry.mode, entry.size = 0o755, 10
        archive.addfile(entry, io.BytesIO(b"#!/bin/sh\n"))
    return buffer.getvalue()


def _install(cache: Running, home: Path, name: str, *words: str) -> None:
    variables = environment(
        settings(
            pulumi={"kind": "pulumi", "url": PULUMI}, github={"kind": "pulumi", "url": GITHUB}
        ),
        cache.url,
    )
    paths = pulumi_cli.environment(obtain.ensure_pulumi(), os.environ)
    done = subprocess.run(
        ["pulumi", "plugin", "install", "resource", name, "4.0.0", *words],
        env=clean_environment(
            **variables, PATH=paths["PATH"], PULUMI_HOME=str(home), PULUMI_SKIP_UPDATE_CHECK="1"
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / f"plugins/resource-{name}-v4.0.0/pulumi-resource-{name}").exists()


def test_plugins_of_pulumi_and_of_others(tmp_path: Path, origin: Origin) -> None:
    """The second installation of each is without an origin; others' are redirected to storage."""
    system, machine = os.uname().sysname.lower(), {"x86_64": "amd64", "aarch64": "arm64"}
    tail = f"v4.0.0-{system}-{machine[os.uname().machine]}.tar.gz"
    own = f"/releases/plugins/pulumi-resource-random-{tail}"
    other = f"/someone/pulumi-thing/releases/download/v4.0.0/pulumi-resource-thing-{tail}"
    with make_origin() as storage:
        origin.files[own] = _plugin("random")
        origin.faults[other] = Fault(status=302, location=f"{storage.url}/asset?signature=1")
        storage.files["/asset"] = _plugin("thing")
        cache = settings(
            pulumi={"kind": "pulumi", "url": f"{origin.url}/releases/plugins"},
            github={"kind": "pulumi", "url": origin.url, "redirects": [storage.url]},
        )
        with running(cache, tmp_path, site(tmp_path)) as started:
            server = "github://api.github.com/someone/pulumi-thing"
            for turn in ("one", "two"):
                _install(started, tmp_path / turn, "random")
                _install(started, tmp_path / turn, "thing", "--server", server)
                origin.stop()
                storage.stop()
