"""A real browser (Debian's chromium) for pages of the project's own, driven by W3C WebDriver."""

import base64
import shutil
from pathlib import Path
from typing import Any

import requests

from tests.harness.process import clean_environment, free_port, listens, server, wait_for

PATIENCE = 300  # seconds: two cores may be busy with other tests' servers
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",  # root has none; the page is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
]


def browse(
    url: str, folder: Path, until: str, *, width: int = 0, dark: bool = False
) -> tuple[str, list[str]]:
    """The page once the JavaScript expression `until` holds, and what its scripts complained of.

    A phone has a width; its owner may prefer dark pages. `folder` gets page.png, what was seen.
    A condition and not a time: chromium's `--virtual-time-budget` does not wait for a network.
    """
    driver = shutil.which("chromedriver")
    assert driver is not None, "apt-get install chromium-driver"
    port = free_port()
    with (
        server(
            [driver, f"--port={port}"],
            lambda: listens(port),
            folder / "chromedriver.log",
            env=clean_environment(HOME=str(folder)),
        ),
        requests.Session() as client,
    ):
        client.trust_env = False  # no proxy

        def call(method: str, path: str, **body: object) -> Any:
            answer = client.request(
                method, f"http://127.0.0.1:{port}/session{path}", json=body, timeout=PATIENCE
            )
            value = answer.json()["value"]
            assert answer.ok, value
            return value

        arguments = [*ARGUMENTS, f"--user-data-dir={folder}/browser"]
        metrics = {"deviceMetrics": {"width": width, "height": 740, "pixelRatio": 1}}
        phone = {"mobileEmulation": metrics} if width else {}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, **phone},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        opened = call("POST", "", capabilities={"alwaysMatch": wanted})
        session = f"/{opened['sessionId']}"
        try:
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            media = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": [scheme]}}
            call("POST", f"{session}/goog/cdp/execute", **media)
            call("POST", f"{session}/url", url=f"{url}/")
            script = {"script": f"return Boolean({until});", "args": []}
            try:
                wait_for(lambda: call("POST", f"{session}/execute/sync", **script), PATIENCE, until)
            except TimeoutError as error:
                raise AssertionError(f"{error}:\n{call('GET', f'{session}/source')}") from None
            seen = call("GET", f"{session}/screenshot")
            (folder / "page.png").write_bytes(base64.b64decode(seen))
            entries = call("POST", f"{session}/se/log", type="browser")
            # What does not answer is the page's to say, and no fault of its scripts.
            complaints = [str(e["message"]) for e in entries if e["source"] != "network"]
            return call("GET", f"{session}/source"), complaints
        finally:
            call("DELETE", session)
