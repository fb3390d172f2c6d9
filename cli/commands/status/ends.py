"""Certificates and tokens, and when they end."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from cli.commands.status.report import Ends
from settings import Settings
from settings.names import ROWS, Endpoint, endpoints

ANSWER_S = 1.5


def certificates(env: str, settings: Settings) -> Iterator[Ends]:
    """The certificate that each service presents; one that does not answer is left out."""
    shown = {
        name: endpoint
        for name, endpoint in endpoints(settings).items()
        if ROWS[name].listener.certificate
        and endpoint.scheme in ("https", "tcp")
        and ROWS[name].published(docker=settings.common.target.kind == "docker")
    }
    with ThreadPoolExecutor() as pool:
        for name, end in zip(shown, pool.map(_end, shown.values()), strict=True):
            if end is not None:
                yield Ends(
                    what=f"the certificate of {name}",
                    when=end,
                    problem=_soon(end, settings.common.certificates.renew_days, env),
                )


def tokens(env: str, settings: Settings, expiries: Mapping[str, datetime]) -> Iterator[Ends]:
    """GitLab's tokens of the lab's own project; an `up` renews their last third."""
    from settings.services.gitlab_project import GitLabProject

    days = settings.get(GitLabProject).token_days // 3
    for name, end in sorted(expiries.items()):
        yield Ends(what=f"GitLab's token {name}", when=end, problem=_soon(end, days, env))


def _soon(end: datetime, days: int, env: str) -> str:
    left = end - datetime.now(UTC)
    if left >= timedelta(days=days):
        return ""
    when = f"{end:%Y-%m-%d}"
    said = f"ended on {when}" if left < timedelta() else f"ends on {when}"
    return f"{said}: ./lab up {env} renews it"


def _end(endpoint: Endpoint) -> datetime | None:
    from cryptography import x509

    # Only to read a date: who signed it does not matter.
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    where = (str(endpoint.address), endpoint.port)
    try:
        with (
            socket.create_connection(where, timeout=ANSWER_S) as plain,
            anyone.wrap_socket(plain, server_hostname=endpoint.host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError:
        return None
    return x509.load_der_x509_certificate(shown).not_valid_after_utc if shown else None
