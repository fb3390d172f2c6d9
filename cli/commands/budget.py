"""`./lab budget`: the plan of memory, cores and disk."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cli.lib.command import DAILY, ENV, JSON, Verb
from cli.lib.fault import SettingsFault
from cli.lib.terminal import print_json

if TYPE_CHECKING:
    from settings.budget import Budget

VERB = Verb(
    "budget",
    "memory, cores and disk: what is planned and what fits",
    group=DAILY,
    order=40,
    arguments=(ENV, JSON),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """The plan of memory, cores and disk; exit code 2 where it does not fit."""
    from rich.console import Console

    from cli.lib.backend import stack_file
    from cli.lib.tables import show
    from settings import SettingsError, load_file
    from settings.budget import budget

    console = Console()
    faults = ""
    try:
        planned = budget(load_file(stack_file(values.env)))
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


def figures(planned: "Budget") -> dict[str, Any]:
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
