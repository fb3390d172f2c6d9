"""`./lab hosts`: the lab's names for a laptop."""

import argparse

from cli.lib.command import DAILY, ENV, JSON, Verb
from cli.lib.fault import say
from cli.lib.terminal import print_json

VERB = Verb(
    "hosts",
    "lines for /etc/hosts of a laptop",
    group=DAILY,
    order=50,
    arguments=(ENV, JSON),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Lines for /etc/hosts: `./lab hosts lab | sudo tee -a /etc/hosts`."""
    from cli.lib.backend import settings_of
    from settings.names import hosts

    found = hosts(settings_of(values.env))
    if values.json:
        print_json({str(address): names for address, names in found.items()})
        return 0
    for address, names in found.items():
        print(f"{address}\t{' '.join(names)}")
    if not found:
        say(f"{values.env} is called without names of its own; nothing to add")
    return 0
