"""`./lab hosts`: the lab's names for a laptop, or for the DNS server of its network."""

import argparse

from cli.lib.command import DAILY, ENV, JSON, Verb, arg, one_of
from cli.lib.fault import Fault, say
from cli.lib.terminal import print_json

FORMATS = ("hosts", "dnsmasq", "unbound", "zone")
VERB = Verb(
    "hosts",
    "the lab's names: lines for a laptop's /etc/hosts, or for a DNS server",
    group=DAILY,
    order=50,
    arguments=(
        ENV,
        arg(
            "--format",
            metavar="FORMAT",
            type=one_of("format", FORMATS),
            default=FORMATS[0],
            help="hosts; dnsmasq (Pi-hole too), unbound (OPNsense), or a zone file of BIND's",
        ),
        arg(
            "--install",
            action="store_true",
            help="put them into /etc/hosts, in place of those of the last time; asks sudo",
        ),
        JSON,
    ),
    engine=False,
)


def run(values: argparse.Namespace) -> int:
    """Print the names with their addresses, or put them into this machine's hosts file."""
    from cli.commands.hosts import formats, install
    from cli.lib.backend import settings_of
    from settings.names import hosts

    if values.install and values.format != FORMATS[0]:
        raise Fault("--install is for /etc/hosts alone: a DNS server's file is put there by you", 2)
    settings = settings_of(values.env)
    found, domain = hosts(settings), settings.common.domain
    if values.json:
        print_json({str(address): names for address, names in found.items()})
        return 0
    if not found:
        say(f"{values.env} is called without names of its own; nothing to add")
    lines = formats.lines(values.format, values.env, found, domain)
    if values.install:
        install.install(values.env, lines)
    else:
        print("".join(f"{line}\n" for line in lines), end="")
    return 0
