"""Templates at the limits that the settings allow, given to what reads them.

Only the sample settings were tested once, and a domain of 34 characters gave a gateway that did
not start (issue 10, entry 11).
"""

import contextlib
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from layers.foundation.cache_files import render as render_cache
from layers.services.gateway import FILES, FOLDER, configuration
from settings import Settings, SettingsError, load, schema
from settings.addresses import MOST_URL
from settings.foundation.cache import LINKING, MOST_ADDRESSES, MOST_UPSTREAMS, Cache
from settings.mirrors import environment
from settings.mirrors import sources as cache_sources
from settings.names import ROWS, certificate_names, endpoints
from settings.rules import MOST_NAME
from targets.templates import compiled
from tests.cache.running import site, write
from tests.harness.certificates import Authority
from tests.harness.deploy import deploy
from tests.harness.patched import patched
from tests.layers.gitlab.test_files import rendered, runner

LABEL = "a" * 63
LONGEST_DOMAIN = f"{LABEL}.{LABEL}.{LABEL}.{'a' * 47}"
GITLABS_DOMAIN = f"{LABEL}.{LABEL}.{LABEL}.{'a' * 20}"  # where images have names in its registry
HOST = f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}"
MOST_COMMON_NAME = 64  # RFC 5280: ub-common-name


def address(number: int) -> str:
    """The longest address of a host that a setting takes, each another."""
    return f"https://{number:02}{HOST[2:]}:65535"


def most_upstreams(kind: str) -> dict[str, Any]:
    """As many upstreams as there may be, with the longest names and addresses."""
    found: dict[str, Any] = {}
    for number in range(MOST_UPSTREAMS):
        url = address(number)
        path = "" if kind == "oci" else "/p" * ((MOST_URL - len(url)) // 2)
        upstream: dict[str, Any] = {"kind": kind, "url": url + path}
        if kind == "oci":
            upstream["registry"] = f"{number:02}{HOST[2:]}"
            upstream["container"] = {"memory_mib": 32}
        elif number == 0:
            more = [address(50 + n) for n in range(MOST_ADDRESSES - MOST_UPSTREAMS)]
            upstream["redirects"] = more[: 8 if kind in LINKING else None]
            upstream["files"] = more[8:] if kind in LINKING else []
        found[f"{'a' * 61}{number:02}"] = upstream
    return found


def widest(env: str, **more: Any) -> Settings:
    """The settings with the longest domain and what else is given."""
    assert len(LONGEST_DOMAIN) + max(len(f"{name}.") for name in ROWS) == MOST_NAME
    off = {"platform.gitlab.enabled": False}
    return load(patched(env, {"common.domain": LONGEST_DOMAIN, **off, **more}), env)


def with_gitlab() -> Settings:
    """The same for a lab with GitLab."""
    return widest("lab", **{"common.domain": GITLABS_DOMAIN, "platform.gitlab.enabled": True})


def test_a_domain_that_leaves_no_room_for_images_is_refused() -> None:
    assert with_gitlab().platform.gitlab.enabled
    with pytest.raises(SettingsError, match="has 1 characters too many"):
        load(patched("lab", {"common.domain": f"{GITLABS_DOMAIN}a"}), "lab")


def nginx(text: str, folder: Path) -> None:
    """Whether nginx takes a configuration, without a warning."""
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-t", "-e", "stderr", "-c", str(folder / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@pytest.mark.lint
@pytest.mark.slow
@pytest.mark.parametrize("env", ["dev", "lab"])
def test_the_gateway_starts_with_the_longest_domain(env: str, tmp_path: Path) -> None:
    settings = widest(env)
    names, addresses = certificate_names(settings, "gateway")
    pair = Authority().server(*names, address=addresses[0])
    (tmp_path / "gateway.crt").write_text(pair.certificate)
    (tmp_path / "gateway.key").write_text(pair.key)
    (tmp_path / "ca.crt").write_text(pair.certificate)
    text = compiled(FILES / "gateway.conf.j2").render(configuration(settings))
    moved = text.replace("/tmp/", f"{tmp_path}/").replace(FOLDER, str(tmp_path))
    nginx(moved.replace("user nginx;", "user root;"), tmp_path)


@pytest.mark.lint
@pytest.mark.slow
def test_gitlabs_nginx_takes_the_longest_domain(tmp_path: Path) -> None:
    size = rendered()["nginx"]["server_names_hash_bucket_size"]
    hosts = {endpoints(with_gitlab())[name].host for name in ("gitlab", "registry")}
    servers = "".join(f"server {{ listen 8443; server_name {host}; }}\n" for host in sorted(hosts))
    http = f"http {{ server_names_hash_bucket_size {size};\naccess_log off;\n{servers}}}"
    nginx(f"pid {tmp_path}/pid;\nevents {{}}\n{http}\n", tmp_path)


@pytest.mark.lint
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["apt", "pypi", "pulumi", "oci"])
def test_the_cache_takes_as_many_upstreams_as_there_may_be(kind: str, tmp_path: Path) -> None:
    upstreams = most_upstreams(kind)
    clients = [f"10.{n}.0.0/16" for n in range(256)]
    cache = Cache.model_validate({"upstreams": upstreams, "clients": clients})
    assert {len(name) for name in upstreams} == {63}
    where = site(tmp_path, registries=dict.fromkeys(upstreams, "http://127.0.0.1:5101"))
    write(cache, where)
    nginx(render_cache(cache, where)[f"{where.config_dir}/nginx.conf"], tmp_path)


def test_one_upstream_or_address_more_is_refused_in_words() -> None:
    most, key = most_upstreams("apt"), "foundation.cache.upstreams"
    one = next(iter(most))
    wider = {**most[one], "redirects": [*most[one]["redirects"], address(49)]}
    for change, words in (
        ({"one-more": {"kind": "apt", "url": "http://a.b/c"}}, "a map has more entries than 48"),
        ({one: wider}, "upstreams has 65 addresses"),
    ):
        with pytest.raises(SettingsError, match=words):
            load(patched("dev", {key: {**most, **change}}), "dev")


@pytest.mark.parametrize("kind", ["apt", "pulumi", "pypi"])
def test_the_runner_takes_the_longest_addresses(kind: str) -> None:
    cache = Cache.model_validate({"upstreams": most_upstreams(kind)})
    base = f"http://cache.{LONGEST_DOMAIN}:65535"
    variables, found = environment(cache, base), cache_sources(cache, base)
    names = {f"{name}.{LONGEST_DOMAIN}": "192.168.1.1" for name in ROWS}
    for one in runner(environment=variables, sources=found, hosts=names)["runners"]:
        script = one.get("pre_build_script", "")
        done = subprocess.run(["sh", "-n"], input=script, text=True, check=False)
        assert done.returncode == 0
        assert len(one["docker"]["extra_hosts"]) == len(ROWS)
    # Linux: a word of a program's environment has at most 128 KiB (MAX_ARG_STRLEN).
    assert all(len(f"{name}={value}") < 131_072 for name, value in variables.items())


def test_certificates_of_the_longest_domain_are_taken(tmp_path: Path) -> None:
    """Go and OpenSSL know no limit for alternative names; the common name has one."""
    settings = with_gitlab()
    authority = Authority()
    for name in ("gateway", "gitlab", "store"):
        names, addresses = certificate_names(settings, name)
        assert max(map(len, names)) <= MOST_NAME
        pair = authority.server(*names, address=addresses[0])
        (tmp_path / "pair").write_text(pair.certificate + pair.key)
        for called in names:
            shake_hands(authority.pem, tmp_path / "pair", called.replace("*", "model-server"))
    change = {"common.domain": GITLABS_DOMAIN, "common.unpinned_downloads": "allow"}
    requests = deploy("lab", change, layers=("foundation",))["foundation"].all(
        "tls:index/certRequest:CertRequest"
    )
    assert len(requests) >= 6
    for request in requests:
        assert len(request.inputs["subject"]["commonName"]) <= MOST_COMMON_NAME
        assert all(len(name) <= MOST_NAME for name in request.inputs.get("dnsNames") or [])


def shake_hands(authority: str, pair: Path, host: str) -> None:
    """A client calls a server by `host` and takes its certificate; an SSLError otherwise."""
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(pair)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = ssl.create_default_context(cadata=authority)
    client = here.wrap_bio(down, up, server_hostname=host)
    server = there.wrap_bio(up, down, server_side=True)
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert client.version() == "TLSv1.3"


def numbers(part: Any, at: str = "") -> list[str]:
    """Where a schema has a whole number without both limits."""
    found: list[str] = []
    if isinstance(part, dict):
        if part.get("type") == "integer" and not {"minimum", "maximum"} <= part.keys():
            found.append(at)
        for key, inner in part.items():
            found += numbers(inner, f"{at}/{key}")
    if isinstance(part, list):
        for number, inner in enumerate(part):
            found += numbers(inner, f"{at}/{number}")
    return found


def test_every_number_has_a_least_and_a_most() -> None:
    """What has no most reaches a server at last, which refuses it in the midst of an `up`."""
    assert numbers(schema()) == []
