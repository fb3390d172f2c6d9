"""The figures: the cache's own page in a real browser, and `./lab cache`."""

import argparse
import json
import os
import re
import subprocess
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from cli.commands.cache import figures as command
from cli.lib.fault import Fault
from settings import Settings
from settings.foundation.cache import Cache
from tests.cache.origin import Origin
from tests.cache.running import Running, running, settings, site
from tests.harness.browser import browse
from tests.harness.deploy import settings_of
from tests.harness.process import free_port

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
DEB = "/ubuntu/pool/main/tool_1.0%2b1_all.deb"
KIB = 1024
THE_LOGS_ARE_READ = '!document.getElementById("summary").textContent.startsWith("Reading")'


def _of(cache: Cache) -> Settings:
    """The sample settings of `dev` with this cache."""
    whole = settings_of("dev")
    foundation = whole.foundation.model_copy(update={"cache": cache})
    return whole.model_copy(update={"foundation": foundation})


@pytest.fixture
def used(cache: Running, origin: Origin) -> Running:
    """A cache after three requests for one package, two for an index and one in vain."""
    origin.files["/ubuntu/pool/main/tool_1.0+1_all.deb"] = os.urandom(200 * KIB)
    origin.files["/alpine/x86_64/APKINDEX.tar.gz"] = os.urandom(10 * KIB)
    for path in [DEB] * 3 + ["/alpine/x86_64/APKINDEX.tar.gz"] * 2:
        assert cache.get(path).status == 200
    origin.stop()
    assert cache.get("/ubuntu/pool/main/other.deb").status == 502
    tidy = subprocess.run(
        ["sh", f"{cache.site.config_dir}/tidy.sh"], capture_output=True, text=True, check=False
    )
    assert (tidy.returncode, tidy.stderr) == (0, "")
    cache.log()
    return cache


@pytest.fixture
def known(used: Running, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings by which `./lab` finds that cache."""
    cache = used.cache.model_copy(update={"port": used.site.port})
    made = _of(cache)
    monkeypatch.setattr(command, "settings_of", lambda env: made)
    return made


class TestPage:
    """http://cache/."""

    def test_it_shows_the_figures_in_a_browser(self, used: Running, tmp_path: Path) -> None:
        page, complaints = browse(used.url, tmp_path, THE_LOGS_ARE_READ)
        rows = {row[0]: row[1:] for row in _rows(page, "upstreams")}
        assert rows["ubuntu"][0] == "apt"
        assert rows["ubuntu"][2:] == ["4", "50 %", "600 KiB", "200 KiB", "400 KiB", "201 KiB", "1"]
        assert rows["alpine"][2:] == [
            "2", "50 %", "20.0 KiB", "10.0 KiB", "10.0 KiB", "10.6 KiB", "0",
        ]  # fmt: skip
        assert _rows(page, "top")[0][:3] == ["tool_1.0+1_all.deb", "ubuntu", "3"]
        summary = re.search(r'<p id="summary"[^>]*>([^<]*)', page)
        assert summary is not None
        assert re.match(r"Since 20\d\d-.*: 6 requests, 50 % from the cache, ", summary[1])
        assert complaints == []

    def test_it_shows_an_empty_cache(self, cache: Running, tmp_path: Path) -> None:
        page, complaints = browse(cache.url, tmp_path, THE_LOGS_ARE_READ)
        assert "0 requests" in page
        assert complaints == []

    def test_no_other_file_is_shown(self, used: Running) -> None:
        for path in ("error.log", "../nginx.conf", "usage.json.new", "access.json", ""):
            assert used.get(f"/-/logs/{path}").status in {400, 404}

    def test_nobody_reads_who_asked_for_what(self, used: Running) -> None:
        """access.json was open to every client (#10.21); queries may be secrets."""
        used.get(f"{DEB}?token=planted", User_Agent="planted/1")
        assert "planted" in str(used.log())
        for name in ("requests", "fetch", "usage"):
            answer = used.get(f"/-/logs/{name}.json")
            assert answer.status == 200
            for secret in (b"planted", b'"client"', b'"agent"'):
                assert secret not in answer.body
        rows = used.get("/-/logs/requests.json").body.splitlines()
        assert json.loads(rows[-1]).keys() == {"time", "uri", "status", "bytes", "cache"}

    @pytest.mark.parametrize("path", ["/v2/docker.io", "/-/www", "/ubuntu", "/nothing"])
    def test_a_redirect_leads_to_no_inner_port(self, tmp_path: Path, path: str) -> None:
        """The client's own port is another one, of which its Host may say nothing (#10.21)."""
        hub = {"kind": "oci", "url": "https://hub.example", "registry": "docker.io"}
        ubuntu = {"kind": "apt", "url": "http://archive.example/ubuntu"}
        where = site(tmp_path, registries={"hub": "http://127.0.0.1:1"})
        with running(settings(hub=hub, ubuntu=ubuntu), tmp_path, where):
            with closing(HTTPConnection("127.0.0.1", where.port)) as client:
                client.request("GET", path, headers={"Host": "cache.lab.home.arpa"})
                answer = client.getresponse()
            assert answer.status in {301, 404}
            assert answer.headers.get("Location", f"{path}/") == f"{path}/"


class TestCommand:
    """`./lab cache`."""

    def test_it_shows_the_figures(
        self,
        known: Settings,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert command.cache(argparse.Namespace(what="dev", of=None, json=True)) == 0
        shown = json.loads(capsys.readouterr().out)
        ubuntu = shown["upstreams"]["ubuntu"]
        assert (ubuntu["requests"], ubuntu["hits"], ubuntu["errors"]) == (4, 2, 1)
        assert 400 * KIB <= ubuntu["saved"] <= 401 * KIB
        assert shown["top"][0]["file"] == "tool_1.0+1_all.deb"
        monkeypatch.setenv("COLUMNS", "100")
        assert command.cache(argparse.Namespace(what=None, of=None, json=False)) == 0
        text = capsys.readouterr().out
        assert "6 requests, 50 % from the cache" in text
        assert known.foundation.cache.upstreams.keys() <= set(text.split())

    def test_a_cache_that_does_not_answer_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        port = free_port()
        made = _of(settings().model_copy(update={"port": port}))
        monkeypatch.setattr(command, "settings_of", lambda env: made)
        with pytest.raises(Fault, match=f"http://localhost:{port}.*./lab up"):
            command.cache(argparse.Namespace(what="dev", of=None, json=False))
        with pytest.raises(Fault, match="no package cache answers"):
            command.cache(argparse.Namespace(what=None, of=None, json=False))


class TestTidy:
    """The hourly housekeeping."""

    def _run(self, cache: Running) -> None:
        subprocess.run(["sh", f"{cache.site.config_dir}/tidy.sh"], check=True)

    def test_old_parts_are_removed_and_new_ones_left(self, used: Running) -> None:
        folder = used.stored()[0].parent
        old, new = folder / f"{'a' * 32}.0000000001", folder / f"{'b' * 32}.0000000002"
        for part in (old, new):
            part.write_bytes(b"half")
        os.utime(old, (1, 1))
        before = {path for path in used.stored() if path.suffix == ""}
        self._run(used)
        assert not old.exists()
        assert {path for path in used.stored() if path.suffix == ""} == before
        assert new.exists()

    def test_large_logs_are_turned_and_written_on(self, used: Running) -> None:
        log = Path(used.site.log_dir) / "requests.json"
        with log.open("a") as text:
            text.truncate(102 * KIB * KIB)
        self._run(used)
        assert log.with_suffix(".json.1").stat().st_size > 100 * KIB * KIB
        used.get("/healthz")
        used.get(DEB)
        assert [row["uri"] for row in used.log()] == [DEB]


def _rows(page: str, table: str) -> list[list[str]]:
    """The cells of a table's body."""
    found = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert found is not None
    rows = re.findall(r"<tr>(.*?)</tr>", found[1], re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
