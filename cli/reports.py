"""`check`, `budget` and `hosts`: what the settings say, without the engine."""

import argparse
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from cli.backend import link_faults, settings_of, stack_file
from cli.fault import SettingsFault, say
from settings import SettingsError, load_file
from settings.budget import Budget
from settings.budget import budget as plan
from settings.names import hosts as names_of


def check(values: argparse.Namespace) -> int:
    """Every fault of the settings and of the links to them, one a line."""
    faults = link_faults(values.env)
    try:
        load_file(stack_file(values.env))
    except SettingsError as error:
        if error.budget and error.budget.errors:
            show(error.budget, Console(stderr=True))
        faults = [*str(error).splitlines(), *faults]
    if faults:
        raise SettingsFault("\n".join(faults))
    print(f"{stack_file(values.env).name}: no faults")
    return 0


def budget(values: argparse.Namespace) -> int:
    """The plan of memory, cores and disk; exit code 2 where it does not fit."""
    console = Console()
    try:
        planned = plan(load_file(stack_file(values.env)))
    except SettingsError as error:
        if error.budget:
            show(error.budget, console)
        raise SettingsFault(str(error)) from None
    show(planned, console)
    for level, texts in (("warning", planned.warnings), ("note", planned.notes)):
        for text in texts:
            console.print(f"{level}: {text}", highlight=False, markup=False)
    return 0


def show(planned: Budget, console: Console) -> None:
    """Print the tables of a budget."""
    for table in tables(planned):
        console.print(table)


def tables(planned: Budget) -> Iterator[Table]:
    """Machines, storages and containers, each with its sum and what there is of it."""
    node = planned.node
    if node:
        yield grid(
            "Machines (MiB; cores; GiB)",
            ("id", "machine", "kind", "cores", "disk", "memory", "at least", "left when full"),
            [
                (
                    guest.id,
                    guest.name,
                    guest.kind + (", pinned" if guest.pinned else ""),
                    guest.cores,
                    guest.disk_gib,
                    guest.dedicated_mib,
                    guest.floor_mib,
                    planned.free_on_max_mib(guest),
                )
                for guest in planned.machines
            ],
            ("", "sum", "", planned.cores, "", planned.dedicated_mib, planned.floor_mib, ""),
            ("", "hypervisor", "", "", "", node.reserved_mib, node.reserved_mib, ""),
            ("", "node", "", node.cores, "", node.memory_mib, node.memory_mib, ""),
        )
        yield grid(
            "Storages (GiB)",
            ("storage", "disks", "capacity"),
            [(name, planned.used_gib(name), size) for name, size in node.storages_gib.items()],
        )
    host = planned.docker
    ends: list[tuple[object, ...]] = [("sum", "", "", planned.containers_mib)]
    if host:
        ends += [("reserved", "", "", host.reserved_mib), ("Docker host", "", "", host.memory_mib)]
    yield grid(
        "Containers (MiB)",
        ("container", "limit", "at once", "together"),
        [(load.name, load.memory_mib, load.count, load.total_mib) for load in planned.containers],
        *ends,
    )


def grid(
    title: str,
    heads: tuple[str, ...],
    rows: list[tuple[object, ...]],
    *ends: tuple[object, ...],
) -> Table:
    """A table whose numbers stand to the right, with lines of sums under it."""
    table = Table(title=title, title_justify="left")
    sample = rows[0] if rows else heads
    for head, value in zip(heads, sample, strict=True):
        table.add_column(head, justify="right" if isinstance(value, int) else "left")
    for row in rows:
        table.add_row(*map(str, row))
    table.add_section()
    for row in ends:
        table.add_row(*map(str, row))
    return table


def hosts(values: argparse.Namespace) -> int:
    """Lines for /etc/hosts: `./lab hosts lab | sudo tee -a /etc/hosts`."""
    found = names_of(settings_of(values.env))
    for address, names in found.items():
        print(f"{address}\t{' '.join(names)}")
    if not found:
        say(f"{values.env} answers on localhost; nothing to add")
    return 0
