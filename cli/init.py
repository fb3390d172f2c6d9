"""`./lab init`: state folder, stacks, and what only the operator knows."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

from cli import ask, backend, cache
from cli.engine import Engine
from cli.fault import Fault
from layers import LAYERS
from settings import PROJECT, Settings
from settings.stackfile import read_config
from toolchain import install

TOKEN_KEY = f"{PROJECT}:proxmoxApiToken"
# USER@REALM!TOKENID=UUID, as Proxmox VE shows it once (pveum user token add).
TOKEN = re.compile(r"[^@!=\s]+@[^@!=\s]+![^@!=\s]+=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def init(values: argparse.Namespace) -> int:
    """Make what is missing, keep what is there; safe to run again."""
    env: str = values.env
    settings = backend.settings_of(env)
    engine, _ = backend.prepare(env, own_passphrase(env, settings))
    known = engine.stacks()
    for layer in LAYERS:
        stack = f"{env}-{layer}"
        if stack in known:
            print(f"lab: {stack} is there", file=sys.stderr)
        else:
            engine.capture("stack", "init", stack)
            print(f"lab: {stack} made", file=sys.stderr)
    if settings.common.place == "proxmox":
        ask_token(engine, env)
    write_indexes(engine, env, settings)
    backend.settings_of(env)  # what was written must be valid
    print(f"lab: ready; next: ./lab up {env}", file=sys.stderr)
    return 0


def own_passphrase(env: str, settings: Settings) -> dict[str, str]:
    """The passphrase from the shell, else typed; twice when it is a new one."""
    try:
        return backend.passphrase(env, settings.common.place)
    except Fault:
        if not os.isatty(0):
            raise
    new = "encryptionsalt:" not in backend.stack_file(env).read_text()
    value = ask.secret(f"Passphrase for the secrets of {env}", twice=new)
    if value == backend.DEV_PASSPHRASE:
        raise Fault(f"{value!r} is dev's published passphrase: choose another", 2)
    return {backend.PASSPHRASE[0]: value}


def ask_token(engine: Engine, env: str) -> None:
    """Ask for the Proxmox API token, unless it is there; it goes to Pulumi by standard input."""
    if TOKEN_KEY in read_config(backend.stack_file(env)):
        print("lab: the Proxmox API token is there", file=sys.stderr)
        return
    token = ask.secret("Proxmox API token (USER@pam!TOKENID=UUID)")
    if not TOKEN.fullmatch(token):
        raise Fault(
            "that is not a Proxmox API token: it reads USER@pam!TOKENID=UUID, as "
            "`pveum user token add` shows it once",
            2,
        )
    engine.capture("config", "set", "--secret", TOKEN_KEY, "-s", f"{env}-{LAYERS[0]}", text=token)
    print(f"lab: {TOKEN_KEY} is in Pulumi.{env}.yaml, encrypted", file=sys.stderr)


def write_indexes(engine: Engine, env: str, settings: Settings) -> None:
    """Make the operator's own pip and npm index upstreams of the package cache."""
    for kind, address in (("pypi", pip_index()), ("npm", npm_registry())):
        path = f"foundation.cache.upstreams.{kind}"
        if any(upstream.kind == kind for upstream in settings.foundation.cache.upstreams.values()):
            continue
        if address is None:
            print(f"lab: no {kind} index is configured here; set {path}.url", file=sys.stderr)
            continue
        if urlsplit(address).username:
            # Stack files are committed and the cache sends no credentials.
            print(f"lab: your {kind} index has credentials: set {path}.url", file=sys.stderr)
            continue
        written = [("kind", kind), ("url", address)]
        if address.startswith("http:"):
            written.append(("allow_http", "true"))
        try:
            hosts = cache.file_hosts(kind, address)
        except Fault as fault:
            print(f"lab: {fault}; if it links to other hosts set {path}.files", file=sys.stderr)
            hosts = []
        written += [(f"files[{number}]", host) for number, host in enumerate(hosts)]
        for key, value in written:
            stack = f"{env}-{LAYERS[0]}"
            engine.capture("config", "set", "--path", f"{PROJECT}:{path}.{key}", value, "-s", stack)
        print(f"lab: {path}: {address}", file=sys.stderr)


def pip_index() -> str | None:
    """The index that pip uses here: configured, or its own default."""
    python = str(install.VENV / "bin" / "python")
    listed = run([python, "-m", "pip", "config", "list"]) or ""
    found = dict(re.findall(r"^([\w:]+)\.index[-_]url='(.+)'$", listed, re.MULTILINE))
    default = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    for source in (":env:", "install", "global"):  # pip's own order
        if source in found:
            return str(found[source])
    return run([python, "-c", default])


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
