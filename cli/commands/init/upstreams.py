"""`./lab init`: state folder, stacks, and what only the operator knows."""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from cli.commands.init import links
from cli.lib import ask, backend, stackfile
from cli.lib.fault import Fault, SettingsFault, say
from cli.lib.pulumi import Engine
from cli.lib.stacks import make_stacks
from settings import ENVIRONMENTS, PROJECT, Settings, SettingsError, load_file
from settings.names import service_at
from settings.stackfile import read_config
from toolchain import install, pip_config

# USER@REALM!TOKENID=UUID, as Proxmox VE shows it once (pveum user token add).
TOKEN = re.compile(r"[^@!=\s]+@[^@!=\s]+![^@!=\s]+=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DEBIAN = ("debian", "debian-security")  # upstreams, and how every mirror's address ends
Addition = tuple[tuple[str, ...], Any]  # path in a stack file, and what comes there


def init(values: argparse.Namespace) -> int:
    """Make what is missing, keep what is there; safe to run again.

    Everything is asked and checked before anything is made; the settings are written at once.
    """
    env: str = values.env
    settings = backend.checked(env)
    secret = own_passphrase(env, settings)
    token = ask_token(env) if settings.common.target.kind == "proxmox" else None
    engine, _ = backend.prepare(env, secret)
    write_settings(engine, env, settings, token, add=values.indexes)
    make_stacks(engine, env)
    say(f"ready; next: ./lab up {env}")
    return 0


def own_passphrase(env: str, settings: Settings) -> dict[str, str]:
    """The passphrase from the shell, else typed; twice when it is a new one."""
    try:
        return backend.passphrase(env, settings.common.target.kind)
    except Fault:
        if not os.isatty(0):
            raise
    new = "encryptionsalt:" not in backend.stack_file(env).read_text()
    value = ask.secret(f"Passphrase for the secrets of {env}", twice=new)
    if value == backend.DEV_PASSPHRASE:
        raise Fault(f"{value!r} is dev's published passphrase: choose another", 2)
    return {backend.PASSPHRASE[0]: value}


def ask_token(env: str) -> str | None:
    """The Proxmox API token that a person gives; None where it is in the settings already."""
    if backend.TOKEN_KEY in read_config(backend.stack_file(env)):
        say("the Proxmox API token is there")
        return None
    token = ask.secret("Proxmox API token (USER@pam!TOKENID=UUID)")
    if not TOKEN.fullmatch(token):
        raise Fault(
            "that is not a Proxmox API token: it reads USER@pam!TOKENID=UUID, as "
            "`pveum user token add` shows it once",
            2,
        )
    return token


def write_settings(
    engine: Engine, env: str, settings: Settings, token: str | None, *, add: bool
) -> None:
    """Add salt, token and upstreams to the settings file, all together; valid or not at all.

    The file is committed, so what is of this machine alone is added where a person says so.
    """
    file = backend.stack_file(env)
    before = stackfile.read(file)
    text = before
    found = list(indexes(settings))
    if found and not ask.confirmed(
        f"Add {'these' if len(found) > 1 else 'it'} to {file.name}?", yes=add
    ):
        say(f"{file.name} stays as it is; `./lab init {env} --indexes` adds them")
        found = []
    for path, value in (*sealed(engine, env, before, token), *found):
        text = stackfile.with_value(text, path, value)
    if text == before:
        return
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder, file.name)
        new.write_bytes(text.encode())
        try:
            load_file(new)
        except SettingsError as error:
            raise SettingsFault(str(error)) from None
    stackfile.write(file, text)
    if token:
        say(f"{backend.TOKEN_KEY} is in {file.name}, encrypted")


def sealed(engine: Engine, env: str, text: str, token: str | None) -> list[Addition]:
    """What Pulumi adds to a stack file: the salt where none is, and the token, encrypted.

    Pulumi works in a folder, on a backend and a stack of its own: it would write the settings
    file in its own layout, and make a stack before the passphrase was found wrong.
    """
    provider = {key: value for key, value in stackfile.parsed(text).items() if key != "config"}
    if provider and not token:
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        file = folder / f"Pulumi.{env}.yaml"
        file.write_text(yaml.safe_dump(provider))
        variables = {"PULUMI_HOME": name, "PULUMI_BACKEND_URL": backend.file_backend(folder)}
        own = Engine(folder=folder, variables={**engine.variables, **variables})
        own.capture("stack", "init", env)
        if token:  # by standard input
            own.capture("config", "set", "--secret", backend.TOKEN_KEY, "-s", env, text=token)
        written = stackfile.parsed(file.read_text())
    secret = [(("config", key), value) for key, value in written.pop("config", {}).items()]
    return [*secret, *(((key,), value) for key, value in written.items() if key not in provider)]


def indexes(settings: Settings) -> Iterator[Addition]:
    """The operator's own pip and npm index, and Debian archive, as upstreams of the cache."""
    yield from archives(settings)
    for kind, address in (("pypi", pip_index()), ("npm", npm_registry())):
        path = f"foundation.cache.upstreams.{kind}"
        if any(upstream.kind == kind for upstream in settings.foundation.cache.upstreams.values()):
            continue
        if address is None:
            say(f"no {kind} index is configured here; set {path}.url")
            continue
        if ours(settings, address, path):
            continue
        if urlsplit(address).username:
            # Stack files are committed and the cache sends no credentials.
            say(f"your {kind} index has credentials: set {path}.url")
            continue
        written: dict[str, Any] = {"kind": kind, "url": address}
        if address.startswith("http:"):
            written["allow_http"] = True
        try:
            hosts = links.file_hosts(kind, address)
        except Fault as fault:
            say(f"{fault}; if it links to other hosts set {path}.files")
            hosts = []
        if hosts:
            written["files"] = hosts
        yield ("config", *f"{PROJECT}:{path}".split(".")), written
        say(f"{path}: {address}")


def archives(settings: Settings) -> Iterator[Addition]:
    """Where apt has Debian from here, for the jobs and images that are made of it; often none."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"]) or ""
    for address in sorted(set(listed.split())):
        name = PurePosixPath(urlsplit(address).path).name
        known = settings.foundation.cache.upstreams
        if name not in DEBIAN or name in known or urlsplit(address).username:
            continue
        path = f"foundation.cache.upstreams.{name}"
        if ours(settings, address, path):
            continue
        url = address.rstrip("/")
        yield ("config", *f"{PROJECT}:{path}".split(".")), {"kind": "apt", "url": url}
        say(f"{path}: {url}")


def ours(settings: Settings, address: str, path: str) -> bool:
    """Whether a lab of this checkout answers at `address`, which is then said.

    A laptop that uses the lab's cache would make it its own upstream (#10.19).
    """
    for lab in (settings, *others(settings)):
        service = service_at(lab, address)
        if service is not None:
            say(
                f"this machine uses {address}, which is the lab's own {service}: no upstream is "
                f"made of it; set {path}.url to where the packages come from"
            )
            return True
    return False


def others(settings: Settings) -> Iterator[Settings]:
    """The settings of the checkout's other environments, as far as they are whole."""
    for env in ENVIRONMENTS:
        try:
            found = backend.settings_of(env)
        except SettingsFault:
            continue
        if found != settings:
            yield found


def pip_index() -> str | None:
    """The index that pip uses here: configured, or its own default."""
    python = install.VENV / "bin" / "python"
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return pip_config.read(python).get("index-url") or run([str(python), "-c", default])


def npm_registry() -> str | None:
    """The registry that npm uses here; None without npm."""
    return run(["npm", "config", "get", "registry"]) if shutil.which("npm") else None


def run(command: list[str]) -> str | None:
    """The output of a command without its last newline; None where it fails."""
    # npm logs every call into its cache.
    env = {**os.environ, "npm_config_cache": str(install.cache_folder() / "npm")}
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=install.ROOT, env=env
    )
    return answer.stdout.strip() if answer.returncode == 0 and answer.stdout.strip() else None
