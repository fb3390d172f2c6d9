"""The command line of `provision`.

Exit codes: 0 done; 1 a service or a downstream pipeline failed; 2 the request is wrong; 3 refused;
4 no answer in time. `run` has its command's own.
"""

import argparse
import importlib
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from typing import Any

from provision import specs
from provision.faults import OUTCOME, Fault, Invalid, Refused

# Each command imports what it needs when it runs: together the libraries take half a second.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in words:  # argparse would take the words after it for RECORDs
        words, command = words[: words.index("--")], words[words.index("--") + 1 :]
    options = _parser().parse_args(words, argparse.Namespace(command=command))
    # What GitLab sends to a job that is cancelled: what tidies up should run then as well.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        return int(options.function(options) or 0)
    except Fault as fault:
        for line in str(fault).splitlines():
            print(f"provision: {line}", file=sys.stderr)
        return fault.code
    except KeyboardInterrupt as interrupt:
        print("provision: interrupted; run it again to finish", file=sys.stderr)
        return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


def _interrupted(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="provision", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for kind, spec in specs.KINDS.items():
        command = commands.add_parser(kind, help=f"make it: {spec.__doc__}")
        command.add_argument("--project", help="id of the GitLab project that it is for")
        command.add_argument("--request", help="id of the project's request, instead of options")
        if kind == "kafka":
            command.add_argument("--bootstrap", help="broker; for the lab's own topics, no Vault")
            command.add_argument(
                "--absent",
                action="store_true",
                help=f"with --bootstrap: delete both if {specs.DELETE_DATA}=yes, else say so",
            )
        if kind == "ollama":
            command.add_argument("--url", help="Ollama; for the lab's own models, no Vault")
        _add_fields(command, spec)
        command.set_defaults(function=_make, spec=spec)
    ask = commands.add_parser("request", help="ask the lab for it, from a job of any project")
    kinds = ask.add_subparsers(required=True, metavar="KIND")
    for kind, spec in specs.KINDS.items():
        command = kinds.add_parser(kind, help=spec.__doc__)
        command.add_argument("--timeout", type=float, default=1800, help="seconds to wait")
        _add_fields(command, spec)
        command.set_defaults(function=_request, spec=spec)
    env = commands.add_parser("env", help='credentials for `eval "$(provision env ...)"`')
    run = commands.add_parser("run", help="credentials into one process: run RECORD... -- CMD")
    for command in (env, run):
        command.add_argument("records", nargs="+", metavar="RECORD", help="such as postgres/my_db")
        command.add_argument("--role", default=os.environ.get("VAULT_ROLE", "project"))
    env.set_defaults(function=_env)
    run.set_defaults(function=_run)
    return parser


def _add_fields(command: argparse.ArgumentParser, spec: type[specs.Spec]) -> None:
    for item in fields(spec):
        default = "" if item.default is MISSING else f" (default {item.default})"
        command.add_argument(
            f"--{item.name.replace('_', '-')}", help=item.metadata["help"] + default
        )


def _given(options: argparse.Namespace) -> dict[str, object]:
    named = {item.name: getattr(options, item.name) for item in fields(options.spec)}
    return {name: value for name, value in named.items() if value is not None}


def _make(options: argparse.Namespace) -> None:
    given, spec = _given(options), options.spec
    if address := getattr(options, "bootstrap", None) or getattr(options, "url", None):
        wanted = specs.parse(spec, given)
        if getattr(options, "absent", False):
            data = os.environ.get(specs.DELETE_DATA) == "yes"
            for line in _service(spec).absent(wanted, address, data=data):
                print(line)
            return None
        return _report(wanted, _service(spec).ensure(wanted, address))
    if getattr(options, "absent", False):
        raise Invalid("--absent is for the lab's own topics: give it --bootstrap")
    project = specs.identifier(specs.PROJECT, "--project", options.project or "")
    if options.request:
        specs.identifier(specs.REQUEST, "--request", options.request)
    else:
        specs.parse(spec, given)
    from provision.vault import Vault

    vault = Vault(os.environ.get("VAULT_ROLE", "provisioner"))
    if not options.request:
        wanted = specs.parse(spec, given)
        return _report(wanted, _service(spec).provision(wanted, project, vault))
    path = f"projects/{project}/requests/{options.request}"
    asked = dict(vault.read(path) or {})
    if asked.get("kind") != spec.kind:
        raise Refused(f"project {project} has no {spec.kind} request {options.request}")
    try:
        given = {name: asked[name] for name in asked if name not in ("kind", *OUTCOME)}
        wanted = specs.parse(spec, given)
        _report(wanted, _service(spec).provision(wanted, project, vault))
    except Fault as fault:
        # For the job that waits: of this one GitLab tells it only that it failed.
        with suppress(Fault):
            vault.write(path, {**asked, "code": str(fault.code), "reason": str(fault)})
        raise


def _service(spec: type[specs.Spec]) -> Any:
    """The module that has `provision` and, where no Vault is needed, `ensure`."""
    return importlib.import_module(f"provision.{spec.kind}")


def _report(spec: specs.Spec, done: Sequence[str]) -> None:
    for line in done:
        print(line)
    print(f"{spec.kind} {spec.name}: ready" + ("" if done else ", nothing to do"))


def _request(options: argparse.Namespace) -> None:
    wanted = specs.parse(options.spec, _given(options))
    from provision.request import request

    request(wanted, options.timeout)
    print(f"{wanted.kind} {wanted.name}: ready; its credentials are in Vault")


def _env(options: argparse.Namespace) -> None:
    if sys.stdout.isatty():
        raise Invalid('env: its output is secret; use it as `eval "$(provision env ...)"`')
    from provision.environment import variables

    for name, value in variables(options.records, options.role).items():
        print(f"export {name}={shlex.quote(value)}")


def _run(options: argparse.Namespace) -> int:
    if not options.command:
        raise Invalid("run: needs RECORD... -- CMD")
    from provision.environment import run, variables

    return run(options.command, variables(options.records, options.role))


if __name__ == "__main__":
    sys.exit(main())
