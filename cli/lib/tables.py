"""Tables for a terminal: that of a plan of memory, cores and disk, and any other's frame."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from settings.budget import Budget


class Over(tuple[object, ...]):
    """A row that is too much for what there is; red on a terminal."""

    __slots__ = ()


def mark(row: tuple[object, ...], *, over: bool) -> tuple[object, ...]:
    """The row, marked where it is too much."""
    return Over(row) if over else row


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
                mark(
                    (
                        guest.id,
                        guest.name,
                        guest.kind + (", pinned" if guest.pinned else ""),
                        guest.cores,
                        guest.disk_gib,
                        guest.dedicated_mib,
                        guest.floor_mib,
                        planned.free_on_max_mib(guest),
                    ),
                    over=planned.free_on_max_mib(guest) < 0,
                )
                for guest in planned.machines
            ],
            mark(
                ("", "sum", "", planned.cores, "", planned.dedicated_mib, planned.floor_mib, ""),
                over=planned.floor_mib + node.reserved_mib > node.memory_mib,
            ),
            ("", "hypervisor", "", "", "", node.reserved_mib, node.reserved_mib, ""),
            ("", "node", "", node.cores, "", node.memory_mib, node.memory_mib, ""),
        )
        yield grid(
            "Storages (GiB)",
            ("storage", "disks", "capacity"),
            [
                mark((name, used := planned.used_gib(name), size), over=used > size)
                for name, size in node.storages_gib.items()
            ],
        )
    host = planned.docker
    over = host is not None and planned.containers_mib + host.reserved_mib > host.memory_mib
    ends = [mark(("sum", "", "", planned.containers_mib), over=over)]
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
    for part in (rows, ends):
        for row in part:
            table.add_row(*map(str, row), style="red" if isinstance(row, Over) else None)
        table.add_section()
    return table
