"""Tables for a terminal: that of a plan of memory, cores and disk, and any other's frame."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from settings.budget import Budget


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
