"""`./lab status` for people: tables, what is wrong, and what could not be asked."""

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.commands.status.report import STARTING, UNKNOWN, WELL, Report, ago

NONE = "-"
WIDTH = 250  # of what is no terminal


def size(number: int | None) -> str:
    """Bytes as people read them: 412 MiB, 7.6 GiB."""
    if number is None:
        return NONE
    mib = number / (1 << 20)
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def of(used: int | None, whole: int | None) -> str:
    """How much of it is used."""
    return NONE if whole is None and used is None else f"{size(used)} of {size(whole)}"


def render(report: Report) -> Group:
    """The whole report."""
    parts: list[RenderableType] = [_services(report)]
    if report.machines:
        parts.append(_machines(report))
    parts += [*_dates(report), *said(report)]
    return Group(*parts)


def _grid(title: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        # What is copied or clicked must not be cut.
        table.add_column(head, overflow="fold", no_wrap=head not in ("address", "running"))
    return table


def _state(state: str, problem: str) -> Text:
    style = "red" if problem else "" if state in (*WELL, UNKNOWN) else "yellow"
    return Text(state, style=style)


def _services(report: Report) -> Table:
    table = _grid(
        f"Services of {report.env}",
        *("layer", "service", "state", "since", "restarts", "running", "memory", "address"),
    )
    for row in report.services:
        other = row.wanted if row.wanted != row.running else ""
        running = ", ".join(filter(None, [row.running, other and f"wanted {other}"]))
        table.add_row(
            row.layer,
            row.service,
            _state(row.state, row.problem),
            ago(row.since),
            str(row.restarts) if row.since else NONE,
            running or NONE,
            of(row.memory, row.limit),
            row.address or NONE,
        )
    return table


def _machines(report: Report) -> Table:
    table = _grid("Machines", "machine", "address", "state", "up for", "load", "memory", "disk")
    for host in report.machines:
        load = NONE if host.load is None else f"{host.load:.2f} on {host.cores} cores"
        table.add_row(
            host.name,
            host.address,
            _state(host.state, host.problem),
            ago(host.since),
            load,
            of(host.memory, host.memory_size),
            of(host.disk, host.disk_size),
        )
    return table


def _dates(report: Report) -> Iterator[str]:
    for backup in report.backups:
        when = "never yet" if backup.ended is None else f"{ago(backup.ended)} ago"
        yield f"Last backup of {backup.of}: {when}."
    if report.drift:
        at, code = report.drift["at"], report.drift["code"]
        yield f"Last ./lab drift {report.env}: {at}, exit code {code}."
    if report.ends:
        first = min(report.ends, key=lambda end: end.when)
        yield f"The next to end is {first.what}, on {first.when:%Y-%m-%d}."


def said(report: Report) -> Iterator[RenderableType]:
    """What is wrong and what could not be asked, else that all is well; and where to click."""
    problems = list(report.problems())
    for text in problems:
        yield Text(f"- {text}", style="red")
    for text in report.unreached:
        yield Text(f"- could not ask {text}", style="yellow")
    if not problems and not report.unreached:
        starting = [row.service for row in report.services if row.state == STARTING]
        well = f"All {len(report.services)} services of {report.env} are well."
        yield f"Still starting: {', '.join(starting)}." if starting else well
    if report.start_page:
        yield f"Start page: {report.start_page}"


def console() -> Console:
    """Where it is printed: into a pipe in one width, with every name and address whole."""
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    made = Console(**plain)
    return made if made.is_terminal else Console(**plain, width=WIDTH)
