"""`./lab cache forget URL`: what it says, and that it never makes anything worse."""

import argparse
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from cli.commands.cache import figures as command
from cli.commands.cache import forget
from cli.lib.fault import Fault
from layers.foundation.cache_files import SLICE_KIB
from settings.foundation.cache import Cache
from tests.cache.origin import Fault as Broken
from tests.cache.origin import Origin
from tests.cache.running import Running

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
SLICE = SLICE_KIB * 1024
DEB = "/ubuntu/pool/main/a.deb"


def _forget(url: str | None) -> None:
    assert command.cache(argparse.Namespace(what="forget", of=url, json=False)) == 0


def test_it_says_what_it_did(
    known: Running, origin: Origin, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{known.url}{DEB}"
    origin.files[DEB] = os.urandom(2 * SLICE + 1)
    _forget(url)
    assert "nothing was stored; it is now (6.3 MB)" in capsys.readouterr().out
    _forget(url)
    assert "has the same version; it was fetched again" in capsys.readouterr().out
    origin.files[DEB] = new = os.urandom(2 * SLICE + 2)
    _forget(url)
    assert "has another version, which is stored now" in capsys.readouterr().out
    origin.stop()
    assert known.get(DEB).body == new


@pytest.mark.parametrize("status", [404, 403, 503])
def test_what_is_stored_stays_where_its_origin_has_nothing(
    known: Running, origin: Origin, status: int
) -> None:
    origin.files[DEB] = b"deb"
    known.get(DEB)
    origin.faults[DEB] = Broken(status=status)
    with pytest.raises(Fault, match=f"answers {status} .* stays"):
        _forget(f"{known.url}{DEB}")
    assert known.get(DEB).body == b"deb"


def test_what_cannot_be_meant_is_refused(known: Running, origin: Origin) -> None:
    for url, said in {
        None: "forget what",
        DEB: "give the whole",
        f"{known.url}/other/x": "no upstream other; it has ubuntu, alpine",
        "https://stranger.example/x": "neither the cache's address nor",
    }.items():
        with pytest.raises(Fault, match=said):
            _forget(url)
    assert origin.requests == []


def test_the_removal_of_docs_cache_md(known: Running, origin: Origin) -> None:
    """All slices of one file and nothing else; nginx finds out when it is asked."""
    other = "/ubuntu/pool/main/b.deb"
    origin.files.update({DEB: os.urandom(SLICE + 1), other: b"b"})
    assert (known.get(DEB).status, known.get(other).status) == (200, 200)
    text = (ROOT / "docs/cache.md").read_text()
    (line,) = [line for line in text.splitlines() if "KEY: file|" in line]
    line = line.replace("/ubuntu/pool/main/b/bad/bad_1_all.deb", DEB)
    line = line.replace("/var/cache/datalab", shlex.quote(known.site.cache_dir))
    subprocess.run(["sh", "-c", line], check=True)
    assert len(known.stored()) == 1
    del origin.files[DEB]
    assert known.get(DEB).status == 404
    origin.stop()
    assert known.get(other).body == b"b"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("archive.ubuntu.com/ubuntu/pool/x.deb", "/ubuntu/pool/x.deb"),
        ("security.ubuntu.com/ubuntu/pool/x.deb", "/ubuntu/pool/x.deb"),
        ("archive.ubuntu.com/other/x.deb", None),
        ("archive.ubuntu.com.example/ubuntu/x.deb", None),
        ("python.example/simple/pip/", "/pypi/simple/pip/"),
        ("files.example:8443/a/b.whl", "/pypi/~files.example_8443/a/b.whl"),
    ],
)
def test_a_vendors_address_is_found(address: str, path: str | None) -> None:
    cache = Cache.model_validate(
        {
            "upstreams": {
                "ubuntu": {"kind": "apt", "url": "http://archive.ubuntu.com/ubuntu"},
                "pypi": {
                    "kind": "pypi",
                    "url": "https://python.example/simple",
                    "files": ["https://files.example:8443"],
                },
            }
        }
    )
    assert forget.path_of(cache, address) == path
