"""`./lab ports`: what the lab publishes."""

import argparse

from cli.lib.command import DAILY, ENV, Verb

VERB = Verb(
    "ports", "what the lab publishes", group=DAILY, order=90, arguments=(ENV,), engine=False
)


def run(values: argparse.Namespace) -> int:
    """Each service's address and port."""
    from cli.lib.backend import settings_of
    from settings.names import endpoints

    for name, endpoint in endpoints(settings_of(values.env)).items():
        print(f"{endpoint.address}:{endpoint.port}\t{name}")
    return 0
