"""Local providers as plugins that the real engine starts, ends and finds on PATH."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from cli.lib.backend import LOCAL_PROVIDERS, NO_DOWNLOADS
from cli.lib.pulumi import Engine
from rehearsal import scratch, sdk

pytestmark = pytest.mark.engine

PROGRAM = """
import pulumi
import pulumi_command as command
import pulumi_random as random
from pulumi import ResourceOptions as Options

made = random.RandomPassword("made", length=30, opts=Options(provider=random.Provider("random")))
told = command.local.Command(
    "told",
    create="printf %s \\"$GIVEN\\" | tee there",
    delete="rm there",
    environment={"GIVEN": made.result},
    dir=".",
    opts=Options(provider=command.Provider("command")),
)
same = pulumi.Output.all(made.result, told.stdout).apply(lambda two: two[0] == two[1])
pulumi.export("same", pulumi.Output.unsecret(same))
"""
GITLAB = """
import pulumi_gitlab as gitlab
from pulumi import ResourceOptions as Options

server = gitlab.Provider("server", base_url="https://gitlab.invalid/api/v4/", token="x")
gitlab.Group("group", path="group", opts=Options(provider=server))
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A small project whose engine has the local providers on PATH, as `./lab` puts them there."""
    for name in ("state", "home", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "Pulumi.yaml").write_text('{"name": "small", "runtime": "python"}')
    variables = scratch.variables(tmp_path)
    path = f"{LOCAL_PROVIDERS}{os.pathsep}{variables['PATH']}"
    made = Engine(folder=tmp_path, variables={**variables, "PATH": path, NO_DOWNLOADS: "true"})
    made.capture("stack", "init", "test")
    return made


def run(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["pulumi", *words, "--non-interactive", "-s", "test"]
    return subprocess.run(
        command,
        cwd=engine.folder,
        env=dict(engine.variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def left(engine: Engine) -> list[str]:
    """Plugins of this engine that still run; one ends within a second of its engine."""
    mark = f"PULUMI_HOME={engine.variables['PULUMI_HOME']}".encode()
    end = time.monotonic() + 10
    while True:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:  # it has ended
                continue
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)


def test_up_nothing_left_to_do_and_down(engine: Engine) -> None:
    (engine.folder / "__main__.py").write_text(PROGRAM)
    done = run(engine, "up", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(run(engine, "stack", "output", "--json").stdout) == {"same": True}
    done = run(engine, "preview", "--refresh", "--expect-no-changes", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert left(engine) == []
    done = run(engine, "destroy", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert left(engine) == []


def test_what_no_local_provider_acts_on_is_named(engine: Engine) -> None:
    (engine.folder / "__main__.py").write_text(GITLAB)
    done = run(engine, "preview")
    assert done.returncode != 0
    assert "no local provider acts on gitlab:index/group:Group; it needs the plugin" in done.stdout


def test_every_package_has_one() -> None:
    """Without one the engine would look for it, and download it."""
    names = {path.name for path in LOCAL_PROVIDERS.iterdir()} - {"plugin"}
    assert names == {f"pulumi-resource-{package}" for package in sdk.PACKAGES}
    links = {path.readlink() for path in LOCAL_PROVIDERS.iterdir() if path.is_symlink()}
    assert links == {Path("plugin")}
