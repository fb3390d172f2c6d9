"""`./lab edge`: the lakehouse's client, with the credentials of the stack."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from cli.lib.command import DAILY, ENV, Verb, arg
from cli.lib.fault import Fault
from toolchain.files import ROOT

VERB = Verb(
    "edge",
    "the lakehouse: sql, shell, status, maintain, notebook, credentials",
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


def run(values: argparse.Namespace) -> int:
    """Run the client where the person is, as files that it is given are there."""
    from cli.lib.pulumi import wait

    words = values.words or ["--help"]
    # Help needs no lab that is up.
    asks = {"-h", "--help"}.isdisjoint(words)
    lake = credentials(values.env) if asks else {}
    # -P: a file of the person's own folder must not stand in for a module of the client.
    command = [sys.executable, "-P", "-m", "datalab_edge", *words]
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
