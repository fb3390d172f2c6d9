"""`./lab hosts`: the block in /etc/hosts, and what DNS servers make of the other formats."""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.commands.hosts import FORMATS, formats, install
from cli.lib import root
from cli.lib.fault import Fault
from settings import load_file
from settings.names import hosts
from tests.cli.conftest import Checkout
from tests.harness.patched import sample_file
from tests.harness.process import free_port, server

SETTINGS = load_file(sample_file("lab"))
DOMAIN = SETTINGS.common.domain
NAMES = hosts(SETTINGS)
ADDRESSES = {name: str(address) for address, names in NAMES.items() for name in names}
BLOCK = formats.lines("hosts", "lab", NAMES, DOMAIN)
TEXT = "".join(f"{line}\n" for line in BLOCK).encode()
# What stands in hosts files: other labs' blocks, Windows' line ends, no end of line, no UTF-8.
REST = st.lists(
    st.sampled_from(
        [
            b"127.0.0.1\tlocalhost\n",
            b"::1 localhost ip6-localhost\r\n",
            b"\n",
            b"# datalab dev: begin\n127.0.0.1 gitlab.dev\n# datalab dev: end\n",
            b"10.0.0.1  k\xe4se # \xff\n",
            b"# by hand\x0b\x0c",
        ]
    ),
    max_size=6,
).map(b"".join)


@given(before=REST, after=REST)
def test_all_that_is_not_the_labs_own_stays_byte_for_byte(before: bytes, after: bytes) -> None:
    once = install.with_block(before, "lab", BLOCK)
    gap = b"" if not before or before.endswith(b"\n") else b"\n"
    assert once == before + gap + TEXT
    assert install.with_block(once, "lab", BLOCK) == once
    old = b"# datalab lab: begin\n10.9.9.9 gone.lab\n# datalab lab: end\n"
    between = before + gap + old + after
    assert install.with_block(between, "lab", BLOCK) == before + gap + TEXT + after
    assert install.with_block(between, "lab", []) == before + gap + after
    assert install.with_block(between + b"\n" + old, "lab", BLOCK).count(TEXT) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# datalab lab: begin\n10.0.0.1 a\n", "/etc/hosts:1: '# datalab lab: begin' has no end"),
        (b"10.0.0.1 a\n# datalab lab: end\n", "/etc/hosts:2: '# datalab lab: end' without"),
        (
            b"# datalab lab: begin\n# datalab lab: begin\n# datalab lab: end\n",
            "/etc/hosts:2: '# datalab lab: begin' without",
        ),
    ],
)
def test_a_block_that_was_damaged_takes_nothing_along(content: bytes, said: str) -> None:
    with pytest.raises(Fault, match=said):
        install.with_block(content, "lab", BLOCK)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hosts file of the test's own, with a mode and a link of its own."""
    real = tmp_path / "etc" / "hosts.real"
    real.parent.mkdir()
    real.write_bytes(b"127.0.0.1 localhost")
    real.chmod(0o640)
    link = tmp_path / "hosts"
    link.symlink_to(real)
    monkeypatch.setattr(install, "FILE", link)
    if os.geteuid() != 0:  # sudo would ask
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    return real


def test_twice_is_as_once(
    checkout: Checkout, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("hosts", "lab", "--install") == 0
    assert file.read_bytes() == b"127.0.0.1 localhost\n" + TEXT
    assert file.stat().st_mode & 0o777 == 0o640
    assert install.FILE.is_symlink()
    first = file.stat().st_ino, file.stat().st_mtime_ns
    capsys.readouterr()
    assert checkout.lab("hosts", "lab", "--install") == 0
    assert "as it should be" in capsys.readouterr().out
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == first
    assert list(file.parent.iterdir()) == [file]


def test_what_is_printed_is_what_is_installed(
    checkout: Checkout, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`./lab hosts lab | sudo tee -a /etc/hosts` of old, and then --install."""
    assert checkout.lab("hosts", "lab") == 0
    printed = capsys.readouterr().out.encode()
    file.write_bytes(b"127.0.0.1 localhost\n" + printed)
    assert checkout.lab("hosts", "lab", "--install") == 0
    assert file.read_bytes() == b"127.0.0.1 localhost\n" + printed


def test_a_line_that_would_win_is_named(
    checkout: Checkout, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, address = next(iter(ADDRESSES.items()))
    file.write_text(f"# x\n10.9.9.9 {name.upper()} other\n{address} {name}\n#10.9.9.8 {name}\n")
    assert checkout.lab("hosts", "lab", "--install") == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "another address" in line] == [
        f"lab: {install.FILE}:2: gives {name.upper()} another address, and the first line counts: "
        "remove it"
    ]


@pytest.mark.parametrize("step", ["cp", "cat", "mv"])
def test_a_write_that_fails_leaves_the_file_as_it_was(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    broken = tools / step
    broken.write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with pytest.raises(Fault, match=f"cannot write {file}: No space left on device"):
        root.write(file, b"new")
    assert file.read_bytes() == b"127.0.0.1 localhost"
    assert list(file.parent.iterdir()) == [file]


def test_without_root_it_asks_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/asked\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    root.write(target, b"new\n")
    assert target.read_bytes() == b"new\n"
    assert (tmp_path / "asked").read_text() == "sh\n"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Fault, match=f"only root may write {target}, and there is no sudo here"):
        root.write(target, b"newer\n")


def test_a_server_s_file_is_not_installed(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.lab("hosts", "lab", "--format", "zone", "--install") == 2
    assert "--install is for /etc/hosts alone" in capsys.readouterr().err
    for style in FORMATS:
        assert checkout.lab("hosts", "dev", "--format", style) == 0
        said = capsys.readouterr()
        assert said.out == ""
        assert "called without names" in said.err


def dnsmasq(file: Path, port: int) -> list[str]:
    options = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1"]
    user = ["--user=root"] if os.geteuid() == 0 else []  # it may read the test's folder
    return [
        "dnsmasq",
        *options,
        *user,
        "--bind-interfaces",
        f"--port={port}",
        f"--conf-file={file}",
    ]


def resolver(folder: Path, port: int, *lines: str) -> list[str]:
    """Unbound on this port, with these lines of its configuration besides."""
    own = folder / "unbound.conf"
    empty = "".join(f'  {key}: ""\n' for key in ("username", "chroot", "pidfile"))
    own.write_text(
        f"server:\n  port: {port}\n  interface: 127.0.0.1\n  use-syslog: no\n{empty}"
        f'  directory: "{folder}"\n' + "".join(f"{line}\n" for line in lines)
    )
    return ["unbound", "-d", "-c", str(own)]


def unbound(file: Path, port: int) -> list[str]:
    subprocess.run(["unbound-checkconf", file], check=True, capture_output=True)
    return resolver(file.parent, port, f'include: "{file}"')


def zone(file: Path, port: int) -> list[str]:
    """As BIND's own checker takes it; Unbound serves it, as it reads zone files too."""
    checked = ["named-checkzone", "-i", "full", "-k", "fail", "-n", "fail", DOMAIN, str(file)]
    subprocess.run(checked, check=True, capture_output=True)
    ours = f'auth-zone:\n  name: "{DOMAIN}"\n  zonefile: "{file}"'
    return resolver(file.parent, port, '  local-zone: "home.arpa." nodefault', ours)


def asked(port: int, *words: str) -> list[str]:
    """What a name server on this port answers, in short."""
    command = ["dig", "@127.0.0.1", "-p", str(port), "+short", "+tries=1", "+time=2", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.service
@pytest.mark.parametrize(
    ("style", "command"), [("dnsmasq", dnsmasq), ("unbound", unbound), ("zone", zone)]
)
def test_a_dns_server_knows_every_name(
    style: str, command: Callable[[Path, int], list[str]], tmp_path: Path
) -> None:
    file, port = tmp_path / "datalab", free_port()
    file.write_text("".join(f"{line}\n" for line in formats.lines(style, "lab", NAMES, DOMAIN)))
    first = next(iter(ADDRESSES))
    with ExitStack() as stack:
        stack.enter_context(
            server(command(file, port), lambda: bool(asked(port, first)), tmp_path / "log")
        )
        assert {name: asked(port, name) for name in ADDRESSES} == {
            name: [address] for name, address in ADDRESSES.items()
        }
        status = ["dig", "@127.0.0.1", "-p", str(port), "+tries=1", f"nobody.{DOMAIN}"]
        said = subprocess.run(status, capture_output=True, text=True, check=False).stdout
        assert "status: NXDOMAIN" in said
        if style != "zone":
            assert [asked(port, "-x", str(address)) for address in NAMES] == [
                [f"{names[0]}."] for names in NAMES.values()
            ]


def test_a_long_domain_fits_a_line() -> None:
    domain = ".".join(["d" * 60] * 3)
    names = tuple(f"{'n' * 50}{number}.{domain}" for number in range(20))
    for line in formats.dnsmasq({IPv4Address("10.0.0.1"): names}, domain):
        assert len(line) < 1024
