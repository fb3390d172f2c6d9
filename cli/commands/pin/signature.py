"""Checks OpenPGP signatures with gpg, which has the person's own keys nowhere in this."""

import subprocess
import tempfile
from pathlib import Path

from cli.lib.fault import Fault


def check(content: bytes, mark: bytes, key: bytes, fingerprint: str, what: str) -> None:
    """Fault unless `mark` is a signature of `content` by the key with that fingerprint.

    key may hold any keys, from anywhere: only the one of the fingerprint, or a subkey that it has
    signed, counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, data in (("content", content), ("mark", mark), ("key", key)):
            (home / name).write_bytes(data)
        _gpg(home, "--import", home / "key")
        said = _gpg(home, "--verify", home / "mark", home / "content")
    # doc/DETAILS of GnuPG: the last field is the primary key's. GOODSIG is a signature whose key
    # has neither expired nor been revoked.
    lines = [line.split()[1:] for line in said.splitlines() if line.startswith("[GNUPG:] ")]
    by = [fields[-1] for fields in lines if fields[0] == "VALIDSIG"]
    if by != [fingerprint] or not any(fields[0] == "GOODSIG" for fields in lines):
        raise Fault(
            f"{what} is not signed by the key {fingerprint} of images.yaml, "
            f"{f'but by {by[0]}' if by and by != [fingerprint] else 'or not validly'}; not pinned"
        )


def _gpg(home: Path, *words: str | Path) -> str:
    options = ("--homedir", home, "--batch", "--no-autostart", "--status-fd", "1")
    try:
        done = subprocess.run(
            ["gpg", *options, *words], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise Fault(
            "gpg is missing, which checks the vendor's signature: "
            "apt install gnupg, or brew install gnupg"
        ) from None
    return done.stdout.decode(errors="replace")
