"""The one HTTP client of `./lab`: it trusts what this machine trusts, not a list of its own."""

import ssl
from typing import Any

import httpx

# A host that cannot be reached is given up sooner than one that answers slowly.
TIMEOUT = httpx.Timeout(30, connect=5)


def client(
    *, authority: str | None = None, verify: bool = True, own: bool = False, **options: Any
) -> httpx.Client:
    """A client; `authority` is a PEM file to trust in place of what this machine trusts.

    `own`: it asks servers of the lab, for which no proxy of the environment is meant.
    """
    trust = ssl.create_default_context(cafile=authority or None) if verify else False
    return httpx.Client(**{"verify": trust, "timeout": TIMEOUT, "trust_env": not own, **options})


def reason(error: Exception) -> str:
    """Why a request failed, where httpx has no words of its own either."""
    return str(error) or type(error).__name__
