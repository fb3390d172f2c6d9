"""One real machine for all tests of roles, and what they install from."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from targets.ansible import ENVIRONMENT, PLAYBOOK
from tests.harness.apt_repository import AptRepository, apt_repository
from tests.harness.certificates import Authority
from tests.harness.machine import Machine, machine
from tests.harness.process import clean_environment

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """What came of a run of ansible-playbook."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        """How many tasks changed something."""
        line = next(row for row in self.output.splitlines() if row.startswith("machine "))
        return int(line.split(",")[1].split()[0])


def play(
    job: Mapping[str, Any],
    *arguments: str,
    seconds: int = 900,
    said: Callable[[str], None] | None = None,
    **variables: str,
) -> Run:
    """Run the program's own command with a job, and more variables in its environment.

    `said` is called with each line of its output as it comes.
    """
    lines = []
    with subprocess.Popen(
        [*PLAYBOOK.split(), *arguments],
        cwd=ROOT,
        env=clean_environment(**ENVIRONMENT, **variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(seconds, process.kill)
        limit.start()
        try:
            with process.stdin:
                process.stdin.write(json.dumps(job))
            for line in process.stdout:
                lines.append(line)
                if said:
                    said(line)
        finally:
            limit.cancel()
    return Run(process.returncode, "".join(lines))


@dataclass(frozen=True)
class Lab:
    """A machine, a web server that it downloads from, and a CA."""

    machine: Machine
    folder: Path
    url: str
    ca: Authority

    def apply(
        self,
        roles: Sequence[str],
        variables: Mapping[str, Any],
        *arguments: str,
        user: str = "root",
        said: Callable[[str], None] | None = None,
    ) -> Run:
        """Apply roles; AssertionError with the whole output when that fails."""
        run = play(self.machine.job(roles, variables, user), *arguments, said=said)
        assert run.code == 0, run.output
        return run

    def twice(
        self, roles: Sequence[str], variables: Mapping[str, Any], *, user: str = "root"
    ) -> Run:
        """Apply roles twice; the second time nothing may change, nor would a look for drift."""
        first = self.apply(roles, variables, user=user)
        second = self.apply(roles, variables, user=user)
        assert second.changed == 0, second.output
        look = self.apply(roles, variables, "--check", "--diff", user=user)
        assert look.changed == 0, look.output
        for secret in secrets(variables):
            assert secret not in first.output + second.output + look.output
        return first


def secrets(variables: Mapping[str, Any]) -> list[str]:
    """The values that no output may show."""
    marks = ("password", "token", "_key", "config")
    return [
        value
        for name, value in variables.items()
        if isinstance(value, str) and any(mark in name for mark in marks) and len(value) > 7
    ]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests say what was asked for."""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A machine with role `common` on it."""
    folder = tmp_path_factory.mktemp("downloads")
    with machine(tmp_path_factory.mktemp("machine")) as made:
        # The only address that the machine can reach; no other network has it.
        server = ThreadingHTTPServer((made.host, 0), partial(_Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        ready = Lab(made, folder, f"http://{made.host}:{server.server_port}", Authority())
        ready.apply(["common"], common(ready))
        yield ready
        server.shutdown()


def common(lab: Lab) -> dict[str, Any]:
    """Variables of role `common`."""
    return {
        "common_hostname": "machine.lab.home.arpa",
        "common_hosts": {
            lab.machine.address: ["machine.lab.home.arpa", "gitlab.lab.home.arpa"],
            "192.0.2.77": ["store.lab.home.arpa"],
        },
        "common_timezone": "Europe/Berlin",
        "common_ca": lab.ca.pem,
    }


@pytest.fixture
def repository(lab: Lab, request: pytest.FixtureRequest) -> Iterator[AptRepository]:
    """A repository of stand-ins for a vendor's packages."""
    name = request.node.name
    (lab.folder / name).mkdir()
    with apt_repository(lab.folder / name, f"{lab.url}/{name}") as made:
        yield made
