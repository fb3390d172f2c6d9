"""The limits of one more, of GitLab's own nginx and of certificates (#10, entry 11).

tests/layers/test_extremes.py has all settings at their ends.
"""

import contextlib
import ssl
from pathlib import Path

import pytest

from settings import SettingsError, load
from settings.names import certificate_names, endpoints
from tests.harness.certificates import Authority
from tests.harness.deploy import deploy
from tests.harness.extremes import LONGEST_DOMAIN, address, upstreams
from tests.harness.patched import patched
from tests.harness.readers import MOST_NAME, nginx
from tests.layers.gitlab.test_files import rendered

MOST_COMMON_NAME = 64  # RFC 5280: ub-common-name


@pytest.mark.lint
@pytest.mark.slow
def test_gitlabs_nginx_takes_the_longest_domain(tmp_path: Path) -> None:
    size = rendered()["nginx"]["server_names_hash_bucket_size"]
    settings = load(patched("lab", {"common.domain": LONGEST_DOMAIN}), "lab")
    hosts = {endpoints(settings)[name].host for name in ("gitlab", "registry")}
    servers = "".join(f"server {{ listen 8443; server_name {host}; }}\n" for host in sorted(hosts))
    http = f"http {{ server_names_hash_bucket_size {size};\naccess_log off;\n{servers}}}"
    text = f"pid {tmp_path}/pid;\nevents {{}}\n{http}\n"
    nginx({"gitlab:nginx.conf": text}, "gitlab:nginx.conf", tmp_path)


def test_one_upstream_or_address_more_is_refused_in_words() -> None:
    most, key = upstreams("apt"), "foundation.cache.upstreams"
    one = next(iter(most))
    wider = {**most[one], "redirects": [*most[one]["redirects"], address(49)]}
    for change, words in (
        ({"one-more": {"kind": "apt", "url": "http://a.b/c"}}, "a map has more entries than 48"),
        ({one: wider}, "upstreams has 65 addresses"),
    ):
        with pytest.raises(SettingsError, match=words):
            load(patched("dev", {key: {**most, **change}}), "dev")


def test_certificates_of_the_longest_domain_are_taken(tmp_path: Path) -> None:
    """Go and OpenSSL know no limit for alternative names; the common name has one."""
    settings = load(patched("lab", {"common.domain": LONGEST_DOMAIN}), "lab")
    authority = Authority()
    for name in ("gateway", "gitlab", "store"):
        names, addresses = certificate_names(settings, name)
        pair = authority.server(*names, address=addresses[0])
        (tmp_path / "pair").write_text(pair.certificate + pair.key)
        for called in names:
            shake_hands(authority.pem, tmp_path / "pair", called.replace("*", "model-server"))
    change = {"common.domain": LONGEST_DOMAIN, "common.unpinned_downloads": "allow"}
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
