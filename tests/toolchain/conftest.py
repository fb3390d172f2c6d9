"""Packages that the tests of installations share."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.wheel import file_name, pack
from toolchain import install


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real uv and packages of the tests' own."""
    folder = tmp_path_factory.mktemp("wheels")
    download = [sys.executable, "-m", "pip", "download", "-q", "--require-hashes", "--no-deps"]
    subprocess.run([*download, "-d", folder, "-r", install.UV], check=True)
    for name in ("one", "two"):
        (folder / file_name(name)).write_bytes(pack(name))
    return folder
