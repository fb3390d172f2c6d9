"""The other rows of docs/contributing.md: a machine, a verb, a setting."""

import json
import re
from pathlib import Path

import pytest

from tests.growth.conftest import ROOT, grown

pytestmark = pytest.mark.slow

FEW = 4  # files that a person may have to touch for one of these
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
MACHINE = {
    "id": 104,
    "address": "192.168.1.104",
    "cores": 1,
    "memory_mib": 512,
    "disk_gib": 8,
}


@pytest.mark.parametrize("example", ["new-service", "new-application", "new-machine", "new-verb"])
def test_the_page_names_every_file_of_an_example(example: str) -> None:
    row = next(line for line in PAGE.splitlines() if f"examples/{example}" in line)
    files = [p for p in (ROOT / "examples" / example).rglob("*.*") if p.is_file()]
    for file in files:
        name = str(file.relative_to(ROOT / "examples" / example))
        general = re.sub(r"/(redis|whoami|resolver|ports)\b", "/NAME", name)
        assert f"`{general}`" in row, general
    assert len(files) <= FEW


def test_every_test_that_the_page_names_is_there() -> None:
    for name in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (ROOT / name).exists(), name


def test_a_machine(tmp_path: Path) -> None:
    copy = grown("new-machine", tmp_path)
    machines = copy.answers("[[m.name, m.id, m.dedicated_mib] for m in budget(lab).machines]")
    assert ["resolver", 104, 512] in machines
    code = (
        "import json\n"
        "from tests.harness.deploy import deploy\n"
        f"change = {{'foundation.resolver': {{'machine': {MACHINE!r}}}}}\n"
        "change['common.unpinned_downloads'] = 'allow'\n"
        "made = deploy('lab', change, layers=('foundation',))['foundation']\n"
        "print(json.dumps([[r.type, r.name] for r in made.resources]))"
    )
    found = json.loads(copy.python("-c", code))
    assert ["proxmoxve:index/containerLegacy:ContainerLegacy", "resolver-lxc"] in found
    assert ["command:local:Command", "resolver-roles"] in found
    hosts = copy.answers("{str(a): n for a, n in names.hosts(lab).items()}")
    assert hosts["192.168.1.104"] == ["resolver.lab.home.arpa"]


def test_a_verb(tmp_path: Path) -> None:
    copy = grown("new-verb", tmp_path)
    assert "127.0.0.1:9000\tstore\n" in copy.lab("ports", "dev")
    assert "ports" in copy.lab("help")
    copy.python("-m", "docs.generate")
    assert "lab ports" in (tmp_path / "docs" / "commands.md").read_text()


def test_a_setting(tmp_path: Path) -> None:
    copy = grown("new-verb", tmp_path)
    module = tmp_path / "settings" / "apps" / "web.py"
    text = module.read_text()
    assert text.count("    port: Port = 3000\n") == 1
    module.write_text(
        text.replace("    port: Port = 3000\n", "    port: Port = 3000\n    greeting: str = 'hi'\n")
    )
    assert copy.answers("lab.apps.web.greeting") == "hi"
    copy.python("-m", "docs.generate")
    assert "`apps.web.greeting`" in (tmp_path / "docs" / "settings.md").read_text()
