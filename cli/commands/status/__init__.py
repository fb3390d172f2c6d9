"""`./lab status`: what runs, how it is, and what is not as the settings want it."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from cli.lib.command import DAILY, JSON, MAYBE_ENV, Verb, arg
from cli.lib.fault import Fault
from cli.lib.terminal import print_json

if TYPE_CHECKING:
    from cli.commands.status.report import Report

VERB = Verb(
    "status",
    "what runs, healthy or not, which version, how much memory, where to click",
    group=DAILY,
    order=5,
    arguments=(
        MAYBE_ENV,
        JSON,
        arg("--watch", action="store_true", help="again every few seconds, until Ctrl-C"),
    ),
    engine=False,
)

PAUSE_S = 5


def run(values: argparse.Namespace) -> int:
    """Look, and say; exit 1 where somebody could not be asked, else 7 where something is wrong."""
    from cli.commands.status.collect import look
    from cli.commands.status.show import console, render
    from cli.lib.backend import set_up

    environments = [values.env] if values.env else set_up()
    if values.watch:
        if values.json:
            raise Fault("--watch is for people, --json for programs: choose one", 2)
        watch(environments)
        return 0
    reports = [look(env) for env in environments]
    if values.json:
        print_json({report.env: as_json(report) for report in reports})
    else:
        for report in reports:
            console().print(render(report))
    codes = {report.code for report in reports}
    return 1 if 1 in codes else max(codes)


def watch(environments: list[str]) -> None:
    """Show it, and again, until Ctrl-C."""
    from rich.console import Group
    from rich.live import Live

    from cli.commands.status.collect import look
    from cli.commands.status.show import console, render

    try:
        with Live(console=console(), screen=True, auto_refresh=False) as live:
            while True:
                shown = Group(*(render(look(env)) for env in environments))
                live.update(shown, refresh=True)
                time.sleep(PAUSE_S)
    except KeyboardInterrupt:
        pass


def as_json(report: "Report") -> dict[str, Any]:
    """A report for another program; times as ISO 8601."""
    from dataclasses import asdict

    plain = asdict(report) | {"problems": list(report.problems()), "code": report.code}
    return {key: _plain(value) for key, value in plain.items()}


def _plain(value: Any) -> Any:
    from datetime import datetime

    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value


def after_up(env: str) -> None:
    """The short form: what `up` ends with. Whatever keeps it from looking, `up` has succeeded."""
    from cli.commands.status.collect import look
    from cli.commands.status.show import console, said

    try:
        report = look(env)
    except Fault:
        return
    for line in said(report):
        console().print(line)
