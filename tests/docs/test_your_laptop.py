"""Every block of docs/your-laptop.md runs as it is written.

Real: the shell, `./lab`'s own reading of the words, certutil. The lab, and what would change this
machine or ask a server, stand in; tests/cli/test_hosts.py and test_ca.py have the real ones.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from settings.names import addresses, endpoints
from tests.docs.test_links import ROOT
from tests.harness.certificates import Authority
from tests.harness.deploy import settings_of
from tests.harness.process import clean_environment

TEXT = (ROOT / "docs/your-laptop.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
ELSEWHERE = ("docker", "git", "ssh", "sudo", "python3")
LAB = """#!{python}
import sys
from pathlib import Path
sys.path[0] = {root!r}
from cli.main import main, parse
verb, values = parse(sys.argv[1:])
if verb.name == "ca" and not values.install:
    print(Path({pem!r}).read_text(), end="")
elif verb.name in ("cache", "hosts") and not getattr(values, "install", False):
    sys.exit(main(sys.argv[1:]))
"""
RECORD = """#!/bin/sh
printf "%s\\n" "$(basename "$0") $*" >>"$HOME/calls"
[ -t 0 ] || cat >>"$HOME/sent"
"""


@pytest.mark.service
def test_every_block_runs_as_written(tmp_path: Path) -> None:
    folder, tools, pem = tmp_path / "check out", tmp_path / "tools", tmp_path / "authority.pem"
    edge = tmp_path / ".local/share/datalab-edge/bin"
    for each in (folder, tools, edge):
        each.mkdir(parents=True)
    pem.write_text(Authority().pem)
    lab = LAB.format(python=sys.executable, root=str(ROOT), pem=str(pem))
    programs = {folder / "lab": lab, edge / "pip": RECORD, edge / "datalab-edge": RECORD}
    programs |= {tools / name: RECORD for name in ELSEWHERE}
    for path, text in programs.items():
        path.write_text(text)
        path.chmod(0o755)
    variables = clean_environment(
        HOME=str(tmp_path), PATH=f"{tools}:/usr/bin:/bin", XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert len(BLOCKS) > 9
    for block in BLOCKS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, block + done.stderr
    calls = (tmp_path / "calls").read_text()
    for words in re.findall(r"^(?:docker|git|sudo) .*$", "\n".join(BLOCKS), re.MULTILINE):
        assert f"{shlex.join(shlex.split(words))}\n" in calls
    sent = (tmp_path / "sent").read_text()
    assert "host-record=gitlab.lab.home.arpa,192.168.1.201" in sent
    assert 'local-data: "gitlab.lab.home.arpa. 300 IN A 192.168.1.201"' in sent
    assert (folder / "lab.home.arpa.zone").read_text().startswith("$ORIGIN lab.home.arpa.\n")
    database = f"sql:{tmp_path}/.pki/nssdb"
    kept = subprocess.run(
        ["certutil", "-d", database, "-L", "-n", "datalab-lab", "-a"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert kept.split() == pem.read_text().split()


def test_addresses_are_those_of_the_shipped_settings() -> None:
    lab = settings_of("lab")
    named = set(re.findall(r"\b[\w-]+\.lab\.home\.arpa(?::\d+)?", TEXT))
    known = {*addresses(lab), *(point.netloc for point in endpoints(lab).values())}
    assert named
    assert named <= known
