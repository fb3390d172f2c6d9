"""`check`, `budget` and `hosts`: what the settings say, without the engine."""

import argparse
from dataclasses import asdict
from typing import Any

from rich.console import Console

from cli.backend import link_faults, settings_of, stack_file
from cli.fault import SettingsFault, say
from cli.tables import show
from cli.terminal import print_json
from settings import SettingsError, load_file
from settings.budget import Budget
from settings.budget import budget as plan
from settings.names import hosts as names_of


def check(values: argparse.Namespace) -> int:
    """Every fault of the settings and of the links to them, one a line."""
    faults = link_faults(values.env)
    try:
        settings_of(values.env)
    except SettingsFault as fault:
        faults = [*str(fault).splitlines(), *faults]
    if values.json:
        print_json({"file": stack_file(values.env).name, "faults": faults})
        return 2 if faults else 0
    if faults:
        raise SettingsFault("\n".join(faults))
    print(f"{stack_file(values.env).name}: no faults")
    return 0


def budget(values: argparse.Namespace) -> int:
    """The plan of memory, cores and disk; exit code 2 where it does not fit."""
    console = Console()
    faults = ""
    try:
        planned = plan(load_file(stack_file(values.env)))
    except SettingsError as error:
        if error.budget is None:
            raise SettingsFault(str(error)) from None
        planned, faults = error.budget, str(error)
    if values.json:
        print_json(figures(planned) | {"faults": faults.splitlines()})
        return 2 if faults else 0
    show(planned, console)
    if faults:
        raise SettingsFault(faults)
    for level, texts in (("warning", planned.warnings), ("note", planned.notes)):
        for text in texts:
            console.print(f"{level}: {text}", highlight=False, markup=False)
    return 0


def figures(planned: Budget) -> dict[str, Any]:
    """A budget's rows and sums, for another program."""
    node = planned.node
    return asdict(planned) | {
        "machines_floor_mib": planned.floor_mib,
        "containers_mib": planned.containers_mib,
        "used_gib": {name: planned.used_gib(name) for name in (node.storages_gib if node else ())},
        "errors": planned.errors,
        "warnings": planned.warnings,
        "notes": planned.notes,
    }


def hosts(values: argparse.Namespace) -> int:
    """Lines for /etc/hosts: `./lab hosts lab | sudo tee -a /etc/hosts`."""
    found = names_of(settings_of(values.env))
    if values.json:
        print_json({str(address): names for address, names in found.items()})
        return 0
    for address, names in found.items():
        print(f"{address}\t{' '.join(names)}")
    if not found:
        say(f"{values.env} is called without names of its own; nothing to add")
    return 0
