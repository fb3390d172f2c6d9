"""The folder in which a rehearsal runs: a project of its own over the checkout's program.

Nothing is written into the checkout, and nothing of the user's Pulumi is read.
"""

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cli.lib.backend import file_backend
from cli.lib.fault import Fault
from cli.lib.pulumi import Engine
from layers import LAYERS
from rehearsal import mocks
from rehearsal.edits import Edits, edited
from rehearsal.facts import WorldFacts
from settings import PROJECT, SECRET_KEYS, Settings, SettingsError, load
from settings.mirrors import users
from settings.names import addresses, endpoints
from settings.stackfile import StackFileError, is_secret, layer_file, read_config
from toolchain import install, obtain, pulumi_cli

PASSPHRASE = "rehearsal"  # noqa: S105 - of a state that holds nothing real
# What a person would give, valid for its type.
SYNTHETIC: Mapping[str, str] = {
    "proxmoxApiToken": "datalab@pam!rehearsal=00000000-0000-4000-8000-000000000000",
}
PASSWORD = "rehearsal-of-a-login"  # noqa: S105 - of every upstream with a user
# What would lead the engine or a provider to something real.
REAL = ("AWS_", "DOCKER_", "GITLAB_", "MINIO_", "PG", "PROXMOX_", "PULUMI_", "TF_", "VAULT_")

# A process in the kernel's hands ends late; one that never does is a broken machine.
KILL_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A scratch project of one environment; `settings` are those that its program gets."""

    env: str
    folder: Path
    settings: Settings
    engine: Engine

    @property
    def executables(self) -> Path:
        """Where the simulators' executables belong, at the front of the engine's PATH."""
        return self.folder / "bin"

    @property
    def state(self) -> Path:
        """The folder of the backend; with the world's own file it is a whole snapshot."""
        return self.folder / "state"

    @property
    def file(self) -> Path:
        """Its settings' file."""
        return self.folder / f"Pulumi.{self.env}.yaml"

    def stack(self, layer: str) -> str:
        """The name of a layer's stack."""
        return f"{self.env}-{layer}"

    def names(self, layers: tuple[str, ...] = LAYERS) -> set[str]:
        """`TYPE=NAME` of every resource that the program makes."""
        config = read_config(self.file)
        secrets = {f"{PROJECT}:{name}": text for name, text in _secrets(self.settings).items()}
        made = mocks.deploy(self.env, {**config, **secrets}, layers=layers)
        return {
            f"{resource.type.rpartition(':')[2]}={resource.name}"
            for deployed in made.values()
            for resource in deployed.resources
            if resource.custom and not resource.type.startswith("pulumi:")
        }

    def initialise(self, layers: Sequence[str] = LAYERS) -> None:
        """Make the stacks of `layers` and give every secret key its value."""
        for layer in layers:
            self.engine.capture("stack", "init", self.stack(layer))
        self.give_secrets()

    def give_secrets(self) -> None:
        """Give every secret that the project's settings need a value, and take the others away."""
        there = read_config(self.file)
        wanted = _secrets(_settings(there, self.file.name) or self.settings)
        stack = self.stack(LAYERS[0])
        for name in SECRET_KEYS:
            key = f"{PROJECT}:{name}"
            if name in wanted:
                text = wanted[name]
                self.engine.capture("config", "set", "--secret", key, "-s", stack, text=text)
            elif key in there:
                self.engine.capture("config", "rm", key, "-s", stack)

    def kill_leftovers(self) -> None:
        """End every process of this project that outlived its engine; back when none is left.

        One look is not enough: what is being killed may just have started another, and until it
        has ended it writes files (seen in CI: a folder that filled while it was removed).
        """
        kill_leftovers(self.folder)


def kill_leftovers(folder: Path) -> None:
    """`Scratch.kill_leftovers` for the project in `folder`."""
    until = time.monotonic() + KILL_SECONDS
    while left := _leftovers(folder):
        if time.monotonic() > until:
            raise Fault(f"processes {left} of the rehearsal do not end, though killed")
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.01)


def _leftovers(folder: Path) -> list[int]:
    mark = f"PULUMI_HOME={folder / 'home'}".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
    return sorted(found - {os.getpid()})


def checked(env: str, edits: Edits) -> Settings:
    """The settings of the committed file with edits; SettingsError where they have faults."""
    file = install.ROOT / f"Pulumi.{env}.yaml"
    return load(edited(read_config(file), edits), file.name)


def make(env: str, folder: Path, config: Mapping[str, Any] | None = None) -> Scratch:
    """Write the scratch project of `env` into an empty folder.

    config is stack configuration as settings.stackfile reads it; default: the committed file's.
    SettingsError where it has faults.
    """
    folder = folder.resolve()
    given = read_config(install.ROOT / f"Pulumi.{env}.yaml") if config is None else config
    shown = _rehearsed(given, folder)
    settings = load(shown, f"Pulumi.{env}.yaml")
    for name in ("bin", "home", "state", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_project(env, folder, install.ROOT, shown)
    return Scratch(
        env=env,
        folder=folder,
        settings=settings,
        engine=Engine(folder=folder, variables=variables(folder)),
    )


def turn(made: Scratch, program: Path) -> WorldFacts:
    """Let a project run the program in another folder, by its settings; the ground they describe.

    Settings that cannot be read by today's models (a key has changed since) leave the ground that
    the project's own describe.
    """
    file = program / f"Pulumi.{made.env}.yaml"
    try:
        shown = _rehearsed(read_config(file), made.folder)
    except StackFileError as error:
        raise Fault(f"{file.name} of that commit {error}") from None
    _write_project(made.env, made.folder, program, shown)
    return _ground(made, shown, program)


def edit(made: Scratch, program: Path, edits: Edits) -> WorldFacts:
    """Change single settings of a project, which runs the program in a folder; the ground then."""
    shown = edited(plain(read_config(made.file)), edits)
    _write_project(made.env, made.folder, program, shown)
    return _ground(made, shown, program)


def _ground(made: Scratch, config: Mapping[str, Any], program: Path) -> WorldFacts:
    settings = _settings(config, made.file.name) or made.settings
    return replace(facts(settings), folder=str(program))


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Stack configuration without secrets."""
    return {key: value for key, value in config.items() if not is_secret(value)}


def _settings(config: Mapping[str, Any], source: str) -> Settings | None:
    """The settings in a configuration; None where today's models do not take it."""
    try:
        return load(config, source)
    except SettingsError:
        return None


def _secrets(settings: Settings) -> dict[str, str]:
    """A value for every secret key that settings need."""
    found = dict(SYNTHETIC) if settings.common.target.kind == "proxmox" else {}
    if upstreams := users(settings.foundation.cache):
        found["upstreamPasswords"] = json.dumps(dict.fromkeys(upstreams, PASSWORD))
    return found


def _rehearsed(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Stack configuration without secrets, and with nothing that is written beyond `folder`."""
    shown = plain(given)
    common = shown.get(f"{PROJECT}:common")
    if isinstance(common, Mapping):
        shown[f"{PROJECT}:common"] = {
            **common,
            "rescue": {"path": str(folder / "rescue")},
            "trust_path": str(folder / "trust"),
            # No download happens, so that none can be forged.
            "unpinned_downloads": "allow",
        }
    return shown


def _write_project(env: str, folder: Path, program: Path, config: Mapping[str, Any]) -> None:
    """Write the project's file and settings; secrets and salt that are there stay."""
    project = yaml.safe_load((program / "Pulumi.yaml").read_text(encoding="utf-8"))
    project["main"] = str(program)
    project["runtime"]["options"]["virtualenv"] = str(install.VENV)
    links = [layer_file(folder, env, layer) for layer in LAYERS]
    project["stackConfigDir"] = str(links[0].parent.relative_to(folder))
    (folder / "Pulumi.yaml").write_text(json.dumps(project), encoding="utf-8")
    file = folder / f"Pulumi.{env}.yaml"
    there = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {"config": {}}
    kept = {key: value for key, value in there["config"].items() if is_secret(value)}
    # JSON is YAML that every parser reads alike.
    file.write_text(json.dumps({**there, "config": {**config, **kept}}), encoding="utf-8")
    for link in links:
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(f"../{file.name}")


def variables(folder: Path) -> dict[str, str]:
    """The environment of every process of the rehearsal in `folder`."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(REAL)}
    base |= {
        "PULUMI_BACKEND_URL": file_backend(folder / "state"),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        # The simulators are on PATH; looking for plugins elsewhere costs seconds of retries.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "PULUMI_HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
    }
    found = pulumi_cli.environment(obtain.ensure_pulumi(), base)
    return found | {"PATH": os.pathsep.join([str(folder / "bin"), found["PATH"]])}


def facts(settings: Settings) -> WorldFacts:
    """What these settings say of the machines, servers and names that are there."""
    registry = endpoints(settings).get("registry")
    own = (f"{registry.netloc}/",) if registry else ()
    shared = WorldFacts(
        names=addresses(settings), built_here=("datalab/", *own), folder=str(install.ROOT)
    )
    target = settings.common.target
    if target.kind == "docker":
        return replace(shared, engine_address=str(target.address))
    return replace(
        shared,
        node=target.node,
        storages=target.storages,
        pci=tuple(target.pci.values()),
    )
