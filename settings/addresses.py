"""Addresses on the net that a setting names."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

MOST_URL = 1024
_HOST = r"https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def _reachable(url: str) -> str:
    """nginx reads no configuration with another port, and asks no DNS server for another name."""
    host, _, port = urlsplit(url).netloc.partition(":")
    if not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", host) or len(host) > 253:
        raise ValueError(f"{host[:80]} is no name of a host: at most 63 letters between two dots")
    if port and not 1 <= int(port) <= 65535:
        raise ValueError(f"{port} is no port; the most is 65535")
    return url


# The characters that stand for themselves in nginx's configuration and in a URL's path.
Url = Annotated[
    str,
    Field(
        pattern=rf"^{_HOST}(/[A-Za-z0-9._~+-]+)*/?$", examples=["https://packages.example/debian"]
    ),
    Field(max_length=MOST_URL),
    AfterValidator(_reachable),
]
Origin = Annotated[
    str,
    Field(pattern=rf"^{_HOST}$", examples=["https://files.example"]),
    Field(max_length=len("https://:65535") + 253),
    AfterValidator(_reachable),
]
# What a browser's field of type email takes (HTML, 4.10.5.1.5), with RFC 5321's lengths.
_DNS_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
Email = Annotated[
    str,
    Field(
        pattern=rf"^[a-zA-Z0-9.!#$%&'*+/=?^_{{|}}~-]{{1,64}}@({_DNS_LABEL}\.)+{_DNS_LABEL}$",
        examples=["me@home.arpa"],
    ),
    Field(max_length=254),
]
