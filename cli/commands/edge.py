"""`./lab edge`: the lakehouse's client, with the credentials of the stack."""

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from cli.lib.command import DAILY, ENV, Verb, arg
from cli.lib.fault import Fault
from toolchain import install, progress
from toolchain.files import ROOT

VERB = Verb(
    "edge",
    "the lakehouse: sql, shell, status, maintain, monitor, notebook, credentials",
    group=DAILY,
    order=55,
    arguments=(
        ENV,
        arg(
            "words",
            metavar="COMMAND",
            nargs=argparse.REMAINDER,
            help='as `sql "FROM stage.main.my_table" --csv`; without one: what there is',
        ),
    ),
)

CLIENT = ROOT / "edge"  # the client's own folder; datalab-edge is made from it
# Commands that need packages of their own, and what is told of them. For `notebook` compile:
#   uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url
#   --no-emit-find-links --no-annotate --no-header -o edge/requirements-notebook.txt
#   edge/requirements.in edge/notebook.in
EXTRAS = {"notebook": "marimo, for notebooks", "monitor": "scikit-learn, for statistics"}


def run(values: argparse.Namespace) -> int:
    """Run the client where the person is, as files that it is given are there."""
    from cli.lib.pulumi import wait

    words = values.words or ["--help"]
    # Help needs no lab that is up.
    asks = {"-h", "--help"}.isdisjoint(words)
    lake = credentials(values.env) if asks else {}
    # -P: a file of the person's own folder must not stand in for a module of the client.
    python = with_packages(words[0]) if words[0] in EXTRAS and asks else Path(sys.executable)
    command = [str(python), "-P", "-m", "datalab_edge", *words]
    own = {"PYTHONPATH": str(CLIENT), "DATALAB_EDGE_CALLED": f"./lab edge {values.env}"}
    return wait(command, Path.cwd(), {**os.environ, **own, **lake})


def credentials(env: str) -> Mapping[str, str]:
    """The variable by which the client gets its credentials, from the outputs of the services."""
    from cli.lib.backend import prepare

    engine, _ = prepare(env)
    stack = f"{env}-services"
    found = None
    if engine.stacks().get(stack):
        found = engine.outputs(stack, "--show-secrets").get("lakehouse")
    if not found:
        raise Fault(f"{env} has no lakehouse yet: run ./lab up {env} first")
    return {"DATALAB_LAKE": found["outside"]}


def with_packages(command: str) -> Path:
    """The Python of an environment for one of EXTRAS, made when it is first asked for.

    Of its own: marimo with polars and pyarrow is as large as all else that `./lab` needs.
    """
    requirements = CLIENT / f"requirements-{command}.txt"
    packages = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = install.cache_folder() / f"{command}-{packages}"
    python, whole = folder / "bin" / "python", folder / ".installed"
    wanted = ("--require-hashes", "--only-binary", ":all:", "-r", requirements)
    with install.exclusive(command):
        if whole.exists():
            return python
        log = install.log_file(command)
        words = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
        try:
            venv: list[str | Path] = [sys.executable, "-m", "venv", "--clear", folder]
            progress.run(f"environment of {command}", venv, log=log, into=folder.parent)
            pip: list[str | Path] = [python, "-m", "pip", "install", *words, *wanted]
            progress.run(EXTRAS[command], pip, log=log, into=folder)
        except progress.CommandError as error:
            raise Fault(str(error)) from None
        whole.touch()
    return python
