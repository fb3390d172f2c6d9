"""`./lab ca`: the certificate of the lab's CA, and how this machine comes to trust it."""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.lib import root
from cli.lib.command import DAILY, ENV, JSON, Verb, arg
from cli.lib.fault import Fault
from cli.lib.terminal import print_json
from layers import LAYERS

VERB = Verb(
    "ca",
    "the certificate of the lab's CA (PEM), or have this machine trust it",
    group=DAILY,
    order=55,
    arguments=(
        ENV,
        arg("--install", action="store_true", help="into this machine's trust store; asks sudo"),
        JSON,
    ),
)

# Debian's and Ubuntu's own folder for it; update-ca-certificates(8) reads the files that end so.
DEBIAN = "/usr/local/share/ca-certificates/datalab-{env}.crt"
KEYCHAIN = "/Library/Keychains/System.keychain"
BROWSERS = (
    "Firefox and, on Linux, Chromium have lists of their own: docs/your-laptop.md says how; "
    "programs that run must be started again"
)


def run(values: argparse.Namespace) -> int:
    """Print the certificate; with --install have this machine trust it."""
    pem = certificate(values.env)
    if values.install:
        print(f"{install(values.env, pem)}. {BROWSERS}")
    elif values.json:
        print_json({"ca_certificate": pem})
    else:
        print(pem, end="")
    return 0


def certificate(env: str) -> str:
    """The certificate, from the foundation's state; Fault where that is not up."""
    from cli.lib.backend import prepare

    engine, _ = prepare(env)
    stack = f"{env}-{LAYERS[0]}"
    outputs = engine.outputs(stack) if engine.stacks().get(stack) else {}
    if not outputs.get("ca_certificate"):
        raise Fault(f"{stack} has no CA yet: run ./lab up {env} {LAYERS[0]} first")
    return f"{outputs['ca_certificate'].strip()}\n"


def install(env: str, pem: str) -> str:
    """Have this machine trust the certificate; what was done. Fault where nobody knows how."""
    store = _store()
    if store is None:
        raise Fault(
            "this system's trust store is none that ./lab knows (Debian, Ubuntu, macOS): "
            f"./lab ca {env} > ca.pem, then by hand as docs/your-laptop.md says"
        )
    return store(env, pem)


def _store() -> Callable[[str, str], str] | None:
    if platform.system() == "Darwin":
        return _macos
    return _debian if _updater() else None


def _updater() -> str | None:
    """Debian's command, which is not on the PATH of every user."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    return shutil.which("update-ca-certificates", path=path)


def _debian(env: str, pem: str) -> str:
    target = Path(DEBIAN.format(env=env))
    if not target.exists() or target.read_text() != pem:
        root.write(target, pem.encode())
    # Also where the file is there: the last run may have been killed before this.
    root.run([str(_updater())], f"have the system read {target}")
    return f"{target}: trusted by this machine"


def _macos(env: str, pem: str) -> str:
    """As `man security` of macOS has it: a root for all users, in the system's keychain."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"datalab-{env}.pem")
        file.write_text(pem)
        command = ["security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN]
        root.run([*command, str(file)], f"add the CA to {KEYCHAIN}")
    return f"{KEYCHAIN}: trusts the CA of {env}"
