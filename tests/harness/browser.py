"""A real browser (Debian's chromium) for pages of the project's own."""

import shutil
import subprocess
from pathlib import Path

from tests.harness.process import clean_environment


def browse(url: str, folder: Path) -> tuple[str, list[str]]:
    """The page after its scripts ran, and what the browser complained about."""
    browser = shutil.which("chromium")
    assert browser is not None, "apt-get install chromium"
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",  # root has none; the page is our own
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={folder}/browser",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
            f"{url}/",
        ],
        env=clean_environment(HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, complaints
