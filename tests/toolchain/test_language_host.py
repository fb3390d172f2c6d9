"""The Python language host, run by the real engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.cli.real import checkout
from tests.harness.process import wait_for
from toolchain import language_host, pulumi_cli

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]
YAML = """
name: hosted
runtime:
  name: python
  options: {virtualenv: venv}
config:
  hosted:word: {type: string}
"""


@pytest.fixture
def variables(tmp_path: Path, pulumi_environment: Mapping[str, str]) -> dict[str, str]:
    """Our host in front of any official one, and a backend of the test's own."""
    (tmp_path / "state").mkdir()
    path = os.pathsep.join((str(pulumi_cli.OWN_HOST), pulumi_environment["PATH"]))
    return {
        **pulumi_environment,
        "PATH": path,
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
    }


@pytest.fixture
def project(tmp_path: Path, variables: dict[str, str]) -> Run:
    """Write a program and run `pulumi` on it."""
    (tmp_path / "Pulumi.yaml").write_text(YAML)
    # An environment of its own: `virtualenv` is honoured where it exists, and has no providers.
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    python = bin_folder / "python"
    python.write_text(f'#!/bin/sh\nVIRTUAL=1 exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)

    def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "__main__.py").write_text(program)
        return subprocess.run(
            ["pulumi", *words, "-s", "one"],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

    for words in (
        ("stack", "init"),
        ("config", "set", "word", "plain"),
        ("config", "set", "--secret", "hidden", "planted"),
    ):
        assert run("", *words).returncode == 0
    return run


def test_program_gets_configuration_secrets_and_interpreter(project: Run) -> None:
    program = """
import os
import pulumi
config = pulumi.Config()
print("said by the program")
pulumi.export("word", config.require("word"))
pulumi.export("hidden", config.require_secret("hidden"))
pulumi.export("virtual", os.environ["VIRTUAL"])
pulumi.export("dry", pulumi.runtime.is_dry_run())
pulumi.export("name", f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
"""
    answer = project(program, "up", "--yes", "--skip-preview")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "said by the program" in answer.stdout
    assert "planted" not in answer.stdout + answer.stderr
    outputs = json.loads(project(program, "stack", "output", "--json").stdout)
    assert outputs == {
        "word": "plain",
        "hidden": "[secret]",
        "virtual": "1",
        "dry": False,
        "name": "organization/hosted/one",
    }


@pytest.mark.parametrize(
    ("program", "said", "trace"),
    [
        ("import pulumi\nraise pulumi.RunError('fix it like this')", "fix it like this", False),
        ("1 / 0", "ZeroDivisionError", True),
        ("import sys\nsys.exit(5)", "5", False),
    ],
    ids=["run-error", "exception", "exit-code"],
)
def test_failing_program(project: Run, program: str, said: str, trace: bool) -> None:
    answer = project(program, "preview")
    whole = answer.stdout + answer.stderr
    assert answer.returncode not in {0, -signal.SIGSEGV}
    assert said in whole
    assert ("Traceback" in whole) is trace


@pytest.mark.parametrize(
    "program",
    [
        "with refusals():\n    raise pulumi.RunError('fix it like this')",
        """
def refuse(_):
    with refusals():
        raise pulumi.RunError("fix it like this")

for number in range(3):
    pulumi.export(str(number), pulumi.Output.from_input(number).apply(refuse))
pulumi.run(settle)
""",
    ],
    ids=["at-once", "in-an-output"],
)
def test_a_refusal_is_said_once_and_nothing_else(project: Run, program: str) -> None:
    head = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import pulumi
from layers.refusals import refusals
from layers.speed import settle
"""
    answer = project(head + program, "preview")
    whole = answer.stdout + answer.stderr
    assert answer.returncode != 0
    diagnostics = whole.partition("Diagnostics:")[2]
    errors = [line.strip() for line in diagnostics.splitlines() if "error" in line]
    assert [line for line in errors if line != "1 errored"] == ["error: fix it like this"]
    assert "exit code" not in whole
    assert "Traceback" not in whole
    assert "Warning" not in whole


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (
            "Pulumi.dev.yaml",
            ("memory_mib: 10240", "memory_mib: much"),
            "Pulumi.dev.yaml: datalab:common.target.memory_mib: ",
        ),
        ("images.yaml", ("/kafka, tag: 4", "/kafka, tag: -4"), "images.yaml: images.kafka.tag: "),
        ("images.yaml", ("vault: {", "vault: "), "images.yaml: line "),
    ],
)
def test_faulty_settings_are_all_that_plain_pulumi_says(
    tmp_path: Path, variables: dict[str, str], name: str, change: tuple[str, str], fault: str
) -> None:
    folder = tmp_path / "checkout"
    checkout(folder, variables, (ROOT / "__main__.py").read_text())
    settings = folder / name
    settings.write_text(settings.read_text().replace(*change))
    words = {**variables, "PULUMI_CONFIG_PASSPHRASE": "dev"}
    for command in (("stack", "init"), ("preview",)):
        answer = subprocess.run(
            ["pulumi", *command, "-s", "dev-foundation", "--non-interactive"],
            cwd=folder,
            env=words,
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode != 0
    said = answer.stdout.partition("Diagnostics:")[2]
    assert said.count("error:") == 1
    assert said.count(fault) == 1
    assert "exit code" not in answer.stdout + answer.stderr


def test_about_names_the_interpreter(project: Run, tmp_path: Path) -> None:
    answer = project("", "about")
    assert str(tmp_path / "venv" / "bin" / "python") in answer.stdout


def test_a_killed_engine_leaves_neither_host_nor_program(
    project: Run, tmp_path: Path, variables: dict[str, str]
) -> None:
    started = tmp_path / "pid"
    program = (
        "import os, time, pathlib\n"
        f"pathlib.Path({str(started)!r}).write_text(f'{{os.getpid()}} {{os.getppid()}}')\n"
        "time.sleep(300)\n"
    )
    (tmp_path / "__main__.py").write_text(program)
    engine = subprocess.Popen(
        ["pulumi", "preview", "-s", "one"],
        cwd=tmp_path,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: started.exists() and bool(started.read_text()), what="the program")
    engine.kill()
    engine.wait()
    left = [int(pid) for pid in started.read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in left), what="the end of host and program")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_required_packages_are_the_installed_sdks() -> None:
    found = {
        package.name: package for package in language_host.provider_packages(Path(sys.executable))
    }
    assert {"docker", "proxmoxve", "gitlab", "minio"} <= set(found)
    assert found["proxmoxve"].version.startswith("v8.")
    assert found["proxmoxve"].server.startswith("github://")
