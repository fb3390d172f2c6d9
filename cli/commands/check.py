"""`./lab check`: every fault of the settings."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.lib.command import ENV, JSON, START, Verb, arg
from cli.lib.fault import SettingsFault, say
from cli.lib.terminal import print_json

if TYPE_CHECKING:
    from settings import Settings

VERB = Verb(
    "check",
    "validate the settings, every fault at once",
    group=START,
    order=30,
    arguments=(
        ENV,
        JSON,
        arg("--fix", action="store_true", help="first rewrite keys of an earlier release"),
    ),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Every fault of the settings and of the links to them, one a line."""
    from cli.lib import backend

    file = backend.stack_file(values.env)
    if values.fix:
        _fix(file)
    faults, name = backend.link_faults(values.env), file.name
    try:
        settings = backend.settings_of(values.env)
    except SettingsFault as fault:
        faults = [*str(fault).splitlines(), *faults]
    else:
        faults = [*_passwords(values.env, settings, file), *faults]
    warnings = [] if faults else _warnings(values.env, file)
    if values.json:
        print_json({"file": name, "faults": faults, "warnings": warnings})
        return 2 if faults else 0
    if faults:
        raise SettingsFault("\n".join(faults))
    for line in warnings:
        say(line)
    print(f"{name}: no faults")
    return 0


def _fix(file: Path) -> None:
    """Rewrite keys of an earlier release in the settings file; say which."""
    from cli.lib import replaced_keys, stackfile
    from settings.stackfile import StackFileError

    before = stackfile.read(file)
    try:
        after = replaced_keys.rewritten(before)
    except StackFileError:
        return  # the check says why
    if after == before:
        say(f"{file.name}: no key of an earlier release")
        return
    stackfile.write(file, after)
    say(f"{file.name}: common.place and what belonged to it are common.target now")


def _warnings(env: str, file: Path) -> list[str]:
    from settings import PROJECT, replaced
    from settings.stackfile import read_config

    old = replaced.keys(read_config(file).get(f"{PROJECT}:common"))
    return [f"{file.name}: {replaced.remedy(old, env)}"] if old else []


def _passwords(env: str, settings: "Settings", file: Path) -> Iterator[str]:
    """Whether upstreams with a user have their passwords; the program knows which."""
    from settings.mirrors import PASSWORDS, set_passwords, users
    from settings.stackfile import read_config

    if (wanted := users(settings.foundation.cache)) and PASSWORDS not in read_config(file):
        who = f"{', '.join(wanted)} {'has' if len(wanted) == 1 else 'have'} a user"
        yield f"{file.name}: {PASSWORDS}: is missing: {who}; {set_passwords(env, wanted)}"
