"""`./lab check`: every fault of the settings."""

import argparse

from cli.lib.command import ENV, JSON, START, Verb
from cli.lib.fault import SettingsFault
from cli.lib.terminal import print_json

VERB = Verb(
    "check",
    "validate the settings, every fault at once",
    group=START,
    order=30,
    arguments=(ENV, JSON),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Every fault of the settings and of the links to them, one a line."""
    from cli.lib import backend

    faults = backend.link_faults(values.env)
    try:
        backend.settings_of(values.env)
    except SettingsFault as fault:
        faults = [*str(fault).splitlines(), *faults]
    name = backend.stack_file(values.env).name
    if values.json:
        print_json({"file": name, "faults": faults})
        return 2 if faults else 0
    if faults:
        raise SettingsFault("\n".join(faults))
    print(f"{name}: no faults")
    return 0
