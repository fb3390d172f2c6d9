"""What can change on a machine: Ansible roles, run by pulumi-command over SSH.

Everything that a run needs goes to ansible-playbook through its standard input, which is secret
in the state; nothing of it is in an argument or on a disk (ansible/plugins/inventory/machine.py).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import local

from targets import Role

ANSIBLE = Path(__file__).parent.parent / "ansible"
# Relative to the project, where the engine runs commands: an absolute path would be a change on
# every other checkout.
# Ansible writes what it is about to send into files: toolchain/private.py has them in memory.
_RUN = ".venv/bin/python toolchain/private.py"
MACHINE = "ansible/machine.yml"
PLAYBOOK = f"{_RUN} ansible-playbook --inventory /dev/stdin {MACHINE}"
ADHOC = f"{_RUN} ansible all --inventory /dev/stdin --module-name command --args"
HOST_KEY = "sh ansible/host_key.sh"
SSH_PORT = 22
SSH_WAIT_S = 600  # for the first answer of a new machine
# Roles that the others are made with.
SHARED = ("apply", "apt", "files", "packages", "program", "service", "timer")
ENVIRONMENT = {
    "ANSIBLE_CONFIG": "ansible/ansible.cfg",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",  # a run without a machine is no success
    "LC_ALL": "C.UTF-8",  # Ansible refuses to run without a UTF-8 locale
}


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """A machine that answers to SSH, or will soon after its creation.

    private_key is an OpenSSH private key. resource is the machine; what is known of the host is
    forgotten when it is replaced. boot is a text that changes when it reboots: what depends on the
    machine then waits for SSH, and for its roles to find their services up.
    """

    address: IPv4Address
    user: str
    private_key: pulumi.Input[str]
    resource: pulumi.Resource
    boot: pulumi.Input[str]


class Host(pulumi.ComponentResource):
    """A machine's SSH identity: trusted on first contact, pinned in the state from then on.

    In the state and not in a known_hosts file, so that every laptop and CI job compares with the
    same key.
    """

    name: str
    args: HostArgs
    keys: pulumi.Output[str]

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:places:Host", name, None, opts)
        self.name, self.args = name, args
        found = local.Command(
            f"{name}-host-key",
            create=HOST_KEY,
            update=f"{HOST_KEY} known",  # what changes here is no first contact
            environment={
                "SSH_ADDRESS": str(args.address),
                "SSH_PORT": str(SSH_PORT),
                "SSH_WAIT_S": str(SSH_WAIT_S),
                "MACHINE_BOOT": args.boot,
            },
            add_previous_output_in_env=True,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[args.resource], replace_with=[args.resource]
            ),
        )
        self.keys = found.stdout
        self.register_outputs({"keys": self.keys})


@dataclass(frozen=True, kw_only=True)
class ConfigurationArgs:
    """The roles that a host gets, in this order."""

    host: Host
    roles: Sequence[Role]


class Configuration(pulumi.ComponentResource):
    """Roles applied to a host; runs again when a role's files or variables change, or the host is.

    `done` is the host's address, known once the roles were applied.
    """

    done: pulumi.Output[str]

    def __init__(
        self, name: str, args: ConfigurationArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:places:Configuration", name, None, opts)
        host = args.host.args
        run = local.Command(
            f"{name}-roles",
            create=PLAYBOOK,
            # No `triggers`: they would replace the command, and with it everything that depends
            # on it would be unknown in a preview. A changed input runs it again in place.
            environment={
                **ENVIRONMENT,
                "ROLE_FILES": files_hash([r.name for r in args.roles]),
                "MACHINE_BOOT": host.boot,
            },
            stdin=_job(args),
            logging=local.Logging.STDOUT_AND_STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.host],
                replace_with=[host.resource],
                # Tasks with secrets are silent; this is for what a module may say by mistake.
                additional_secret_outputs=["stdout", "stderr"],
            ),
        )
        self.done = run.id.apply(lambda _: str(host.address))
        self.register_outputs({"done": self.done})


def _job(args: ConfigurationArgs) -> pulumi.Output[str]:
    host = args.host.args
    variables: dict[str, pulumi.Input[Any]] = {}
    for role in args.roles:
        variables |= role.variables
    job = {
        "host": args.host.name,
        "address": str(host.address),
        "port": SSH_PORT,
        "user": host.user,
        "private_key": host.private_key,
        "host_keys": args.host.keys,
        "roles": [role.name for role in args.roles],
        "variables": variables,
    }
    return pulumi.Output.secret(pulumi.Output.json_dumps(job, sort_keys=True))


def files_hash(roles: Sequence[str]) -> str:
    """A hash over what decides a run of these roles besides their variables: Ansible's files."""
    shared = [path for path in ANSIBLE.iterdir() if path.is_file()]
    used = (ANSIBLE / "roles" / role for role in (*SHARED, *roles))
    folders = [ANSIBLE / "plugins", ANSIBLE / "tasks", *used]
    inside = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted({*shared, *inside}):
        if path.suffix == ".pyc":
            continue
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ANSIBLE)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
