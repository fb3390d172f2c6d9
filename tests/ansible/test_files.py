"""Roles that find what differs in one shell, where modules would take seconds for what is right."""

import hashlib
from typing import Any

import pytest

from tests.ansible.conftest import Lab
from tests.harness.machine import USER

pytestmark = pytest.mark.service
FOLDER = "/opt/it's a folder"
TEXT = "\u00e4 {{ no }} template"
FILES: dict[str, Any] = {
    "files_name": "a test",
    "files_list": [
        {"path": FOLDER, "mode": "0750", "group": USER},
        {"path": f"{FOLDER}/default", "content": "text\n"},
        {
            "path": f"{FOLDER}/own",
            "content": TEXT,
            "owner": USER,
            "mode": "0600",
        },
        {"path": f"{FOLDER}/gone", "content": "", "mode": "0755"},
    ],
}
SPOILT = """cd "/opt/it's a folder"
chmod 700 .
chmod 600 default
chown root own
rm gone
"""


def test_what_differs_of_files_is_put_right(lab: Lab) -> None:
    def found() -> list[str]:
        listed = lab.machine.run(f'cd "{FOLDER}"; stat -c "%n %a %U %G" . *; sha256sum *')
        return listed.splitlines()

    lab.twice(["files"], FILES, user=USER)
    right = found()
    assert right[:4] == [
        f". 750 root {USER}",
        "default 644 root root",
        "gone 755 root root",
        f"own 600 {USER} root",
    ]
    assert right[6].split()[0] == hashlib.sha256(TEXT.encode()).hexdigest()
    lab.machine.run(SPOILT)
    assert lab.apply(["files"], FILES, "--check", user=USER).changed == 2
    assert found() != right
    lab.apply(["files"], FILES, user=USER)
    assert found() == right
    lab.machine.run(f'echo >>"{FOLDER}/default"')
    lab.apply(["files"], FILES, user=USER)
    assert found() == right


def test_what_was_applied_is_not_applied_again(lab: Lab) -> None:
    """The mark is the one of labs of before: it would restart each of their services."""
    lab.machine.run("mkdir -p /opt/applied && cd /opt/applied && echo a >a && ln -sf a link")
    digest = hashlib.sha256(b"a\n").hexdigest()
    mark = lab.machine.root / "var/lib/datalab/test.applied"
    mark.write_text(f"- {digest} - -")
    variables: dict[str, Any] = {
        "apply_name": "test",
        "apply_files": [f"/opt/applied/{name}" for name in ("none", "a", "link", "")],
        "apply_command": ["false"],
    }
    assert lab.apply(["apply"], variables, user=USER).changed == 0
    lab.machine.run("echo b >/opt/applied/a")
    variables["apply_command"] = ["true"]
    look = lab.apply(["apply"], variables, "--check", user=USER)
    assert "DIFFERS machine machine, role apply, task 'Remember what" in look.output
    lab.apply(["apply"], variables, user=USER)
    digest = hashlib.sha256(b"b\n").hexdigest()
    assert mark.read_text() == f"- {digest} - -"
