"""Role `cache` on a real Debian system: the package cache as its users find it."""

import base64
import json
import urllib.request
from typing import Any

import pytest
import yaml

from layers.foundation.cache_files import Site, logins, render
from settings.foundation.cache import Cache
from tests.ansible.conftest import Lab
from tests.harness.process import wait_for

pytestmark = pytest.mark.service


PASSWORD = 'hunter2: #"\u00e4'


def _variables(lab: Lab, keys_mib: int, *registries: str, user: str = "") -> dict[str, Any]:
    """With a user, the last registry has a login, as does an index."""
    upstreams: dict[str, Any] = {"web": {"kind": "apt", "url": lab.url}}
    if user:
        upstreams["index"] = {"kind": "pypi", "url": "https://index.example", "user": user}
    for name in registries:
        registry = {"kind": "oci", "url": lab.url, "registry": f"{name}.example"}
        upstreams[name] = {**registry, "allow_http": True}
    ports = {name: 5101 + number for number, name in enumerate(registries)}
    cache = Cache.model_validate({"upstreams": upstreams, "keys_mib": keys_mib, "min_free_gib": 1})
    site = Site(
        resolvers=(lab.machine.host,),
        port=8480,
        registries={name: f"http://127.0.0.1:{port}" for name, port in ports.items()},
    )
    return {
        "cache_port": 8480,
        "cache_files": render(cache, site),
        "cache_registries": {
            name: {"url": lab.url, "port": port, "user": user if name == registries[-1] else ""}
            for name, port in ports.items()
        },
        "cache_passwords": {registries[-1]: PASSWORD} if user else {},
        "cache_logins": logins(cache, {"index": PASSWORD}) if user else "",
    }


def _get(lab: Lab, path: str) -> tuple[str | None, bytes]:
    """X-Cache-Status and body."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{lab.machine.address}:8480{path}", timeout=30) as answer:
        return answer.headers["X-Cache-Status"], answer.read()


def _answers(lab: Lab, path: str) -> bytes:
    """The body; empty where nobody answers."""
    try:
        return _get(lab, path)[1]
    except OSError:
        return b""


def test_cache(lab: Lab) -> None:
    (lab.folder / "tool.deb").write_bytes(b"deb")
    variables = _variables(lab, 16, "one", "two", user="someone")
    output = lab.twice(["cache"], variables).output
    word = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()
    assert "hunter2" not in output
    assert word not in output
    run = lab.machine.run
    files = "/etc/nginx/logins.conf /etc/datalab-registry/two.yml"
    assert run(f"stat -c '%a %U' {files}").split("\n") == ["600 root", "600 docker-registry"]
    assert word in run("cat /etc/nginx/logins.conf")
    proxy = yaml.safe_load(run("cat /etc/datalab-registry/two.yml"))["proxy"]
    assert proxy == {"remoteurl": lab.url, "username": "someone", "password": PASSWORD}
    assert run("grep -rlaE 'hunter2' /var/log /root /tmp /var/lib/datalab || true") == ""
    assert _get(lab, "/web/tool.deb") == ("MISS", b"deb")
    assert _get(lab, "/web/tool.deb") == ("HIT", b"deb")
    assert b"<title>Package cache</title>" in _get(lab, "/")[1]
    assert run("systemctl is-active datalab-registry@one datalab-registry@two").split() == [
        "active",
        "active",
    ]
    # Nothing but nginx itself listens where other machines can reach it.
    listening = run("ss -Hltn4 | awk '{print $4}'").split()
    assert {"0.0.0.0:8480", "127.0.0.1:8481", "127.0.0.1:5101"} <= set(listening)
    assert not {"0.0.0.0:80", "0.0.0.0:5000", "*:5000"} & set(listening)

    run("systemctl start datalab-cache-tidy.service")
    usage = json.loads(_get(lab, "/-/logs/usage.json")[1])
    assert usage["packages"]["web"]["files"] == 1
    assert run("systemctl is-active datalab-cache-tidy.timer") == "active"

    # Another size of the index: the same process goes on, and keeps what is stored.
    before = run("systemctl show nginx -p MainPID --value")
    smaller = _variables(lab, 8, "two")
    lab.apply(["cache"], smaller)
    assert lab.apply(["cache"], smaller).changed == 0
    assert run("systemctl show nginx -p MainPID --value") == before
    assert "keys_zone=packages_8m" in run("nginx -T 2>/dev/null | grep keys_zone")
    assert run("ls /etc/datalab-registry") == "two.yml"
    assert run("grep -c password /etc/datalab-registry/two.yml || true") == "0"
    assert run("test -e /etc/nginx/logins.conf || echo gone") == "gone"
    assert run("systemctl is-active datalab-registry@one || true") == "inactive"
    assert _get(lab, "/web/tool.deb")[1] == b"deb"

    # It comes back by itself.
    run("systemctl kill --signal=KILL nginx")
    wait_for(lambda: _answers(lab, "/web/tool.deb") == b"deb", what="nginx")
