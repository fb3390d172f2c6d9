"""One machine, read from standard input as the JSON that targets/ansible.py writes.

Its strings are never templates: a `{{` in a configuration file stays what it is.
"""

import json
import sys

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = """
name: machine
short_description: One machine, described by JSON on standard input
description:
  - Keys are host, address, port, user, private_key, host_keys, roles, variables.
options: {}
"""


class InventoryModule(BaseInventoryPlugin):
    """The inventory of one run."""

    NAME = "machine"

    def verify_file(self, path: str) -> bool:
        """Whether this plugin reads `path`: only standard input."""
        return bool(path == "/dev/stdin")

    def parse(self, inventory, loader, path, cache=True):  # type: ignore[no-untyped-def]
        """Add the machine and its variables to `inventory`."""
        super().parse(inventory, loader, path, cache)
        try:
            job = json.load(sys.stdin)
            host, address = job["host"], job["address"]
            variables = {
                "ansible_host": address,
                "ansible_port": job["port"],
                "ansible_user": job["user"],
                "ansible_become": job["user"] != "root",
                "ansible_ssh_private_key": job["private_key"],
                "ansible_ssh_common_args": _known_host(address, job["port"], job["host_keys"]),
                "machine_roles": job["roles"],
                **job["variables"],
            }
        except (ValueError, KeyError, TypeError) as error:
            raise AnsibleParserError(f"standard input is no machine: {error!r}") from error
        self.inventory.add_host(host)
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)


def _known_host(address: str, port: int, keys: str) -> str:
    # ssh compares with what this command prints, and with nothing else.
    name = address if port == 22 else f"[{address}]:{port}"
    lines = "".join(f"{name} {key}\\n" for key in keys.splitlines())
    return (
        "-o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null"
        " -o GlobalKnownHostsFile=/dev/null"
        f" -o 'KnownHostsCommand=/usr/bin/printf \"{lines}\"'"
    )
