"""`./lab hosts ENV --install`: a lab's own block in /etc/hosts, and nothing else of that file."""

from collections.abc import Sequence
from pathlib import Path

from cli.commands.hosts.formats import marks
from cli.lib import root
from cli.lib.fault import Fault, say

FILE = Path("/etc/hosts")


def install(env: str, lines: Sequence[str]) -> None:
    """Put the lines into the hosts file, in place of those of the last time; as root."""
    before = FILE.read_bytes()
    after = with_block(before, env, lines)
    for number, name in elsewhere(after, env, lines):
        say(f"{FILE}:{number}: gives {name} another address, and the first line counts: remove it")
    if after == before:
        print(f"{FILE}: as it should be")
        return
    root.write(FILE, after)
    print(f"{FILE}: {max(0, len(lines) - 2)} lines of {env}")


def with_block(content: bytes, env: str, lines: Sequence[str]) -> bytes:
    """The file with this block in the place of the environment's, else at its end.

    Without lines the block goes. All else stays, byte for byte.
    """
    begin, end = (mark.encode() for mark in marks(env))
    block = "".join(f"{line}\n" for line in lines).encode()
    kept: list[bytes] = []
    at, inside = None, 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        bare = line.strip()
        if bare == begin and not inside:
            inside = number
            at = len(kept) if at is None else at
        elif bare == end and inside:
            inside = 0
        elif bare in (begin, end):
            raise Fault(f"{FILE}:{number}: {bare.decode()!r} without the other: remove that line")
        elif not inside:
            kept.append(line)
    if inside:
        raise Fault(f"{FILE}:{inside}: {begin.decode()!r} has no end: remove that block yourself")
    if at is None:
        at = len(kept)
    before, after = b"".join(kept[:at]), b"".join(kept[at:])
    gap = b"\n" if block and before and not before.endswith(b"\n") else b""
    return before + gap + block + after


def elsewhere(content: bytes, env: str, lines: Sequence[str]) -> list[tuple[int, str]]:
    """Line numbers outside of the block that give one of its names another address."""
    wanted = {
        name: address
        for address, *names in (line.split() for line in lines if not line.startswith("#"))
        for name in names
    }
    begin, end = marks(env)
    found, inside = [], False
    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.decode(errors="replace")
        inside = line.strip() == begin or (inside and line.strip() != end)
        address, *names = line.partition("#")[0].split() or [""]
        if not inside:
            found += [
                (number, name) for name in names if wanted.get(name.lower(), address) != address
            ]
    return found
