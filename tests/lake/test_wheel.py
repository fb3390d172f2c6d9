"""The edge client as people get it: a wheel, without a checkout."""

import subprocess
import sys
import tomllib
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.harness.lakehouse import WRITER, Lakehouse
from tests.harness.mlflow import ROOT
from tests.harness.process import clean_environment
from toolchain import pip_config

EDGE = ROOT / "edge"


def pins(file: Path) -> dict[str, str]:
    """The packages that a file of requirements fixes to one version."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line)


def test_duckdb_and_its_extensions_have_one_version() -> None:
    """An extension loads into no other DuckDB, and the shell's own is one more."""
    versions = {**pins(EDGE / "requirements.in"), **pins(EDGE / "shell.in")}
    assert {"duckdb", "duckdb-extension-ducklake", "duckdb-cli"} <= set(versions)
    assert len(set(versions.values())) == 1
    for file in (
        f"{WRITER}/requirements.txt",
        "requirements.txt",
        "edge/requirements-notebook.txt",
        "edge/requirements-monitor.txt",
    ):
        compiled = (ROOT / file).read_text()
        for name, version in pins(EDGE / "requirements.in").items():
            assert f"{name}=={version} \\" in compiled, file


def test_the_wheel_says_what_it_needs_by_those_files() -> None:
    project = tomllib.loads((EDGE / "pyproject.toml").read_text())
    dynamic = project["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"] == {"file": ["requirements.in"]}
    for extra in dynamic["optional-dependencies"].values():
        for name in extra["file"]:
            assert (EDGE / name).is_file()


@pytest.mark.service
def test_a_laptop_without_a_checkout_asks_the_lake(lake: Lakehouse, tmp_path: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    env, options = pip_config.uv_environment(Path(sys.executable))
    source = tmp_path / "edge"
    subprocess.run(["cp", "-r", str(EDGE), str(source)], check=True)  # the build writes into it

    def run(*words: str | Path, **more: str) -> None:
        done = subprocess.run(
            [uv, *map(str, words)],
            env={**env, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    run("build", "-q", "--wheel", *options, "-o", tmp_path / "dist", source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv = tmp_path / "venv"
    run("venv", "-q", "-p", sys.executable, venv)
    run("pip", "install", "-q", *options, "-p", venv / "bin/python", f"{wheel}[shell]")
    (info,) = venv.glob("lib/*/site-packages/datalab_edge-*.dist-info")
    assert PathDistribution(info).version

    document = lake.environment()["DATALAB_LAKE_FILE"]
    laptop = clean_environment(
        DATALAB_LAKE=Path(document).read_text(), HOME=str(tmp_path), PYTHONPATH=""
    )
    client = str(venv / "bin/datalab-edge")
    asked = subprocess.run(
        [client, "sql", "--csv", "SELECT 6 * 7 AS answer"],
        env=laptop,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stdout) == (0, "answer\n42\n"), asked.stderr
    shell = subprocess.run(
        [client, "shell"],
        env=laptop,
        cwd=tmp_path,
        input="CREATE TABLE stage.main.by_shell AS SELECT * FROM range(12);\n"
        "SELECT 'rows: ' || count(*) FROM stage.main.by_shell;\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "rows: 12" in shell.stdout, shell.stderr + shell.stdout
    assert "password" not in shell.stdout + shell.stderr
