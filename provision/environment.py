"""Records of Vault as environment variables of one process."""

import os
import re
from collections.abc import Sequence

from provision.faults import Fault, Invalid, Refused
from provision.specs import PROJECT, identifier
from provision.vault import Record, Vault

PATH = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*(:[A-Za-z0-9._-]+)?$"
ROOTS = ("projects", "infra", "shared")
# Vault's own database users live as long as the login that asked for them.
DATABASE_ROLE = "project-database"


def variables(paths: Sequence[str], role: str) -> Record:
    """The variables of all records, each `KIND/NAME` of the own project or a whole path."""
    vault = Vault(role)
    found: Record = {}
    for path in paths:
        record = vault.read(_absolute(path))
        if record is None:
            raise Fault(f"Vault has no record {path}; request it first")
        credentials = record.pop("CREDENTIALS", None)
        if credentials:
            user = Vault(DATABASE_ROLE).read_raw(credentials)
            record |= {"DB_USER": user["username"], "DB_PASS": user["password"]}
        if wrong := [name for name in record if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name)]:
            raise Refused(f"{path}: {', '.join(wrong)}: not the name of a variable")
        found |= record
    return found


def _absolute(path: str) -> str:
    parts = identifier(PATH, "record", path).split("/")
    if "." in parts or ".." in parts:
        raise Invalid(f"record: {path}: . and .. are not parts of a path")
    if parts[0] in ROOTS:
        return path
    project = os.environ.get("CI_PROJECT_ID", "")
    return f"projects/{identifier(PROJECT, 'CI_PROJECT_ID', project)}/{path}"


def run(command: Sequence[str], extra: Record) -> int:
    """Become `command`, with `extra` on top of this environment and no way back to Vault."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VAULT_TOKEN", "VAULT_ID_TOKEN")
    }
    try:
        os.execvpe(command[0], list(command), {**kept, **extra})  # noqa: S606  # no shell is the point
    except OSError as error:
        raise Fault(f"{command[0]}: {error.strerror}") from error
