"""What pip is configured to do on this machine, for uv, which reads neither pip.conf nor PIP_*.

Standard library only.
"""

import ast
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

# uv separates the addresses of one variable by this.
ADDRESSES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
# PIP_DEFAULT_TIMEOUT is pip's other name for it.
OTHERS = {
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
    "keyring-provider": "UV_KEYRING_PROVIDER",
}
TRUE = ("1", "true", "yes", "on", "y", "t")  # pip's own words


def read(python: Path) -> dict[str, str]:
    """Every setting of pip.conf and PIP_* for `pip install`, in pip's own order."""
    listed = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found = {}
    for section in ("global", "install", ":env:"):  # the last one wins
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.+)$", listed, re.MULTILINE):
            if text := str(ast.literal_eval(value)).strip():
                found[name] = text
    return found


def uv_variables(pip: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment `own` with what pip is told as uv's variables; a UV_* of the user's stays."""
    told = {
        variable: text
        for name, (variable, between) in ADDRESSES.items()
        if (text := between.join(filter(there, pip.get(name, "").split())))
    }
    told |= {variable: pip[name] for name, variable in OTHERS.items() if name in pip}
    # pip looks for a version in every index; uv, in the first that has the package. Hashes make the
    # choice of the index no matter of trust.
    told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    told["UV_SYSTEM_CERTS"] = "true"  # as pip does since 24.2, and Debian's before
    forced = {}
    # In this order, as pip's own library for HTTP has it.
    bundles = (pip.get("cert"), own.get("REQUESTS_CA_BUNDLE"), own.get("CURL_CA_BUNDLE"))
    if bundle := next(filter(None, bundles), None):
        forced["SSL_CERT_FILE"] = bundle
    if "client-cert" in pip:
        forced["SSL_CLIENT_CERT"] = pip["client-cert"]
    if "proxy" in pip:
        proxy = pip["proxy"]
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            forced[name] = proxy if "://" in proxy else f"http://{proxy}"
    return {**told, **own, **forced}


def there(address: str) -> bool:
    """Whether it is no folder that is missing: pip warns of one, uv goes no further."""
    return not address.startswith(("/", ".", "~")) or Path(address).expanduser().exists()


def uv_options(pip: Mapping[str, str]) -> list[str]:
    """What uv takes as an option only."""
    return ["--no-index"] if pip.get("no-index", "").lower() in TRUE else []


def uv_environment(python: Path) -> tuple[dict[str, str], list[str]]:
    """The variables and options of a `uv pip` that takes packages from where pip would."""
    pip = read(python)
    return uv_variables(pip, os.environ), uv_options(pip)
