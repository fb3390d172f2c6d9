"""The simulators under the real engine, with small programs."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.lib import repair
from cli.lib.pulumi import Engine
from rehearsal import operations, scratch
from rehearsal.rules import docker, gitlab
from rehearsal.servers import serve
from rehearsal.world import World
from tests.rehearsal.client import FACTS

pytestmark = pytest.mark.engine

HEAD = """
import os
import pulumi
import pulumi_docker as docker
import pulumi_random as random
import pulumi_tls as tls
from pulumi import ResourceOptions as Options

here = Options(provider=docker.Provider("here"))
"""
SERVICE = """
made_up = Options(provider=random.Provider("random"))
password = random.RandomPassword("password", length=30, opts=made_up)
key = tls.PrivateKey("key", algorithm="ED25519", opts=Options(provider=tls.Provider("tls")))
network = docker.Network("network", name="datalab", opts=here)
image = docker.RemoteImage("image", name="nginx:1.27", keep_locally=True, opts=here)
docker.Volume("volume", name="data", opts=here)
docker.Container(
    "server",
    name="server",
    image=image.image_id,
    envs=[pulumi.Output.concat("PASSWORD=", password.result), os.environ["EXTRA"]],
    networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
    opts=here,
)
pulumi.export("password", password.result)
pulumi.export("public", key.public_key_openssh)
"""


@dataclass
class Scene:
    """A small project whose engine finds the simulators of one world."""

    engine: Engine
    world: World
    pid: int = 0

    def program(self, body: str) -> None:
        """Set the program."""
        (self.engine.folder / "__main__.py").write_text(HEAD + body)

    def run(self, *arguments: str, extra: str = "EXTRA=1") -> subprocess.CompletedProcess[str]:
        """Run `pulumi`; 240 s are far more than it ever takes."""
        process = subprocess.Popen(
            ["pulumi", *arguments, "-s", "test", "--non-interactive"],
            cwd=self.engine.folder,
            env={**self.engine.variables, "EXTRA": extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.pid = process.pid
        said, _ = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, said)

    def up(self, extra: str = "EXTRA=1") -> None:
        """`pulumi up`, which must succeed."""
        done = self.run("up", "--yes", "--skip-preview", extra=extra)
        assert done.returncode == 0, done.stdout

    def at_rest(self) -> None:
        """Nothing is left to do."""
        done = self.run("preview", "--expect-no-changes", "--diff")
        assert done.returncode == 0, done.stdout


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An empty project."""
    for name in ("state", "home", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "Pulumi.yaml").write_text(
        '{"name": "small", "runtime": "python",'
        ' "config": {"pulumi:disable-default-providers": {"value": ["*"]}}}'
    )
    world = World(facts=FACTS)
    engine = Engine(folder=tmp_path, variables=scratch.variables(tmp_path))
    with serve(world, tmp_path / "bin"):
        engine.capture("stack", "init", "test")
        yield Scene(engine, world)


def test_up_rest_refresh_replace_and_down(scene: Scene) -> None:
    scene.program(SERVICE)
    preview = scene.run("preview")
    assert preview.returncode == 0
    assert not scene.world.calls
    scene.up()
    scene.at_rest()
    assert scene.run("refresh", "--yes", "--skip-preview").returncode == 0
    scene.at_rest()
    assert len(scene.world.calls) == 6

    # The name was fixed by hand, so the old container goes first.
    scene.up(extra="EXTRA=2")
    changed = [(call.operation, call.name) for call in scene.world.calls[6:]]
    assert changed == [("delete", "server"), ("create", "server")]

    state = "".join(file.read_text() for file in scene.engine.folder.rglob("state/**/*.json"))
    shown = scene.run("preview", "--json").stdout + scene.run("stack", "output").stdout
    assert len(scene.world.secrets) >= 3
    for secret in scene.world.secrets:
        assert json.dumps(secret)[1:-1] not in state
        assert secret not in shown

    assert scene.run("destroy", "--yes", "--skip-preview").returncode == 0
    assert not scene.world.items


def test_a_misspelt_property_fails_the_preview_and_is_named(scene: Scene) -> None:
    scene.program(
        'docker.Container("server", image="sha256:0", ports=[{"internl": 80}], opts=here)'
    )
    done = scene.run("preview")
    assert done.returncode != 0
    assert "the provider has no such property" in done.stdout
    assert "server.ports[0].internl" in done.stdout


def test_two_engines_keep_their_names_apart(scene: Scene) -> None:
    scene.world.facts = FACTS
    scene.program(
        'first = docker.Network("here", name="datalab", opts=here)\n'
        'other = docker.Provider("other", host="tcp://192.168.1.202:2376")\n'
        # In turn: the failure of one ends the other where it has not begun.
        "after = Options(provider=other, depends_on=[first])\n"
        'docker.Network("there", name="datalab", opts=after)\n'
    )
    done = scene.run("up", "--yes", "--skip-preview")
    # There is no machine of that address: the one engine is up, the other is not.
    assert "Cannot connect to the Docker daemon at 192.168.1.202:2376" in done.stdout
    assert [item.scope for item in scene.world.find(docker.NETWORK)] == ["docker local"]


def test_what_was_told_once_is_renewed_after_a_kill(scene: Scene) -> None:
    scene.program(
        "import pulumi_gitlab as gitlab\n"
        'server = gitlab.Provider("gitlab", token="x", early_auth_check=False)\n'
        'runner = gitlab.UserRunner("runner", runner_type="instance_type", description="lab",'
        " opts=Options(provider=server))\n"
        'pulumi.export("token", runner.token)\n'
    )
    scene.world.kill_at(1, lambda: os.kill(scene.pid, signal.SIGKILL))
    assert scene.run("up", "--yes", "--skip-preview").returncode == -signal.SIGKILL
    assert len(list(scene.world.find(gitlab.RUNNER))) == 1
    world = scene.world
    repair.fix(scene.engine, "test", lambda kind, inputs, _: operations.found(world, kind, inputs))
    scene.up()
    scene.at_rest()
    assert len(list(scene.world.find(gitlab.RUNNER))) == 1
    token = scene.run("stack", "output", "token", "--show-secrets").stdout
    assert "glrt-" in token
