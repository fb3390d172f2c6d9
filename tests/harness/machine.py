"""A real Debian system with systemd and SSH to configure: a container of systemd-nspawn.

It has a network of its own that only this computer is in, and a copy of a base system that
debootstrap makes once. It needs root, as nspawn does.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.process import PATIENCE_S, server
from toolchain.kept import cached

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "procps",
    "python3-minimal",
    "sudo",
    "systemd",
    "systemd-sysv",
)
USER = "datalab"  # who logs in at a VM; at an LXC it is root
# Other tests may have the cores: dbus waited its 25 s for systemd-hostnamed to start, and a run of
# all tests was red (#10). These are the limits of dbus (5 s and 25 s), of who asks over it (25 s;
# sudo drops variables) and of systemd for its services (90 s).
_BUS = f"SYSTEMD_BUS_TIMEOUT={PATIENCE_S}s"
FILES = {
    "etc/dbus-1/system-local.conf": (
        "<busconfig>"
        f'<limit name="service_start_timeout">{PATIENCE_S * 1000}</limit>'
        f'<limit name="auth_timeout">{PATIENCE_S * 1000}</limit>'
        "</busconfig>\n"
    ),
    "etc/environment": f"{_BUS}\n",
    "etc/sudoers.d/patient": "Defaults env_keep += SYSTEMD_BUS_TIMEOUT\n",
    "etc/systemd/system.conf.d/patient.conf": (
        f"[Manager]\nDefaultTimeoutStartSec={PATIENCE_S}\nDefaultTimeoutStopSec={PATIENCE_S}\n"
        f"DefaultEnvironment={_BUS}\n"
    ),
    # Nobody needs what is on its disk after a loss of power.
    "etc/dpkg/dpkg.cfg.d/unsafe": "force-unsafe-io\n",
}
TOOLS = (
    "debootstrap",
    "ip",
    "iptables",
    "nsenter",
    "setpriv",
    "ssh-keygen",
    "systemd-nspawn",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A running system; `host` is this computer's address in its network."""

    name: str
    address: str
    host: str
    root: Path
    private_key: str
    host_keys: str

    def job(
        self, roles: Sequence[str], variables: Mapping[str, Any], user: str = "root"
    ) -> dict[str, Any]:
        """What targets.ansible would give to ansible-playbook for this machine."""
        return {
            "host": "machine",
            "address": self.address,
            "port": 22,
            "user": user,
            "private_key": self.private_key,
            "host_keys": self.host_keys,
            "roles": list(roles),
            "variables": dict(variables),
        }

    def run(self, command: str) -> str:
        """Output of a shell command that root runs there; AssertionError when it fails."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            **dict([_BUS.split("=")]),
        }
        done = subprocess.run(
            ["nsenter", "--all", f"--target={self._init()}", "/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def _init(self) -> str:
        """Its first process; a service may have a lower number here, and a read-only system."""
        for pid in _call("ip", "netns", "pids", self.name).split():
            with suppress(OSError):  # it ended meanwhile
                status = Path(f"/proc/{pid}/status").read_text()
                inside = next(row for row in status.splitlines() if row.startswith("NSpid:"))
                if inside.split()[-1] == "1":
                    return pid
        raise RuntimeError(f"{self.name} does not run any more")


def _call(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        raise RuntimeError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def archive(suite: str = SUITE) -> str:
    """The archive that this computer itself installs Debian's packages of a suite from."""
    sites = _call("apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}")
    return sites.split()[0].rstrip("/")


def base() -> Path:
    """The base system; kept in the cache folder, as it takes a minute to make."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        raise RuntimeError(f"a test machine needs root and {', '.join(TOOLS)}; missing: {missing}")

    def make(root: Path) -> None:
        root.chmod(0o755)
        include = f"--include={','.join(PACKAGES)}"
        _call("debootstrap", "--variant=minbase", include, SUITE, root, archive())
        _call("chroot", root, "useradd", "--create-home", "--shell=/bin/bash", USER)
        (root / "etc/sudoers.d" / USER).write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")

    key = hashlib.sha256(repr((SUITE, PACKAGES, USER)).encode()).hexdigest()[:12]
    return cached(f"machine-{SUITE}-{key}", make)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A running system until the block ends; `folder` takes its files and its console's log."""
    with ExitStack() as stack:
        name, number = stack.enter_context(_network())
        root = stack.enter_context(_copy(base(), folder))
        _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        for home, owner in ((root / "root", 0), (root / "home" / USER, 1000)):
            (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
            shutil.copy(folder / "key.pub", home / ".ssh/authorized_keys")
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner, owner)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        for file, text in FILES.items():
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text(text)
        address = f"10.213.{number}.2"
        nspawn = [
            *("setpriv", "--pdeathsig", "TERM"),  # it does not outlive a test that was killed
            *("systemd-nspawn", "--quiet", "--boot", "--keep-unit", "--register=no"),
            *(f"--directory={root}", f"--machine={name}"),
            f"--network-namespace-path=/run/netns/{name}",
            # What an engine in it needs, and what a VM of its own would let it do.
            *("--capability=all", "--system-call-filter=@keyring bpf"),
            "--kill-signal=SIGRTMIN+3",
            "--console=read-only",
        ]
        stack.enter_context(server(nspawn, lambda: _answers(address), folder / "console.log"))
        yield Machine(
            name=name,
            address=address,
            host=f"10.213.{number}.1",
            root=root,
            private_key=(folder / "key").read_text(),
            host_keys=_host_keys(address),
        )


def _answers(address: str) -> bool:
    return bool(_keyscan(address).strip())


def _keyscan(address: str) -> str:
    scan = ["ssh-keyscan", "-T", "1", address]
    return subprocess.run(scan, capture_output=True, text=True, check=False).stdout


def _host_keys(address: str) -> str:
    lines = _keyscan(address).splitlines()
    return "\n".join(sorted(line.partition(" ")[2] for line in lines if line[0] != "#"))


@contextmanager
def _copy(base: Path, folder: Path) -> Iterator[Path]:
    root, upper, work = folder / "root", folder / "upper", folder / "work"
    for path in (root, upper, work):
        path.mkdir()
    options = f"lowerdir={base},upperdir={upper},workdir={work}"
    _call("mount", "-t", "overlay", "-o", options, "overlay", root)
    try:
        yield root
    finally:
        _call("umount", "--lazy", root)


@contextmanager
def _network() -> Iterator[tuple[str, int]]:
    """(Name, number) of a network namespace: 10.213.<number>.1 is here, .2 is in there.

    From there the packages' archive can be reached through this computer.
    """
    name, number = _first_free()
    net = f"10.213.{number}.0/24"
    masquerade = ("POSTROUTING", "-s", net, "!", "-d", net, "-j", "MASQUERADE")
    inside = ("ip", "-n", name)
    try:
        _call("ip", "address", "add", f"10.213.{number}.1/24", "dev", name)
        _call("ip", "link", "set", name, "up")
        _call(*inside, "address", "add", f"10.213.{number}.2/24", "dev", "eth0")
        _call(*inside, "link", "set", "lo", "up")
        _call(*inside, "link", "set", "eth0", "up")
        _call(*inside, "route", "add", "default", "via", f"10.213.{number}.1")
        _call("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        _call("ip", "netns", "exec", name, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        _call("iptables", "--wait", "-t", "nat", "-A", *masquerade)
        # An engine on this computer makes DROP the policy of FORWARD.
        _call("iptables", "--wait", "-I", "FORWARD", "-s", net, "-j", "ACCEPT")
        _call("iptables", "--wait", "-I", "FORWARD", "-d", net, "-j", "ACCEPT")
        yield name, number
    finally:
        for rule in (
            ("-t", "nat", "-D", *masquerade),
            ("-D", "FORWARD", "-s", net, "-j", "ACCEPT"),
            ("-D", "FORWARD", "-d", net, "-j", "ACCEPT"),
        ):
            subprocess.run(["iptables", "--wait", *rule], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], check=False)  # its pair goes with it


def _first_free() -> tuple[str, int]:
    for number in range(1, 255):
        name = f"datalab{number}"
        try:
            _call("ip", "netns", "add", name)
        except RuntimeError:  # another run has it, or was killed and had it
            continue
        peer = ("peer", "name", "eth0", "netns", name)
        _call("ip", "link", "add", name, "type", "veth", *peer)
        return name, number
    raise RuntimeError("there are 254 test networks: ip netns list")
