"""images.sum: the SHA-256 of every image, download and plugin, by its name with its version.

As in a go.sum, a sum belongs to one version: with another version in images.yaml its line is of
nothing any more, and that is a fault until `./lab pin` has the new version's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUMS = "images.sum"
LINE = re.compile(r"(\S+) sha256:([0-9a-f]{64})")
HEAD = "# Written by `./lab pin`: what each version of images.yaml and requirements.txt must be.\n"
# Whose plugins are not on Pulumi's own server, and where that server's others are.
SERVERS = {"proxmoxve": "https://github.com/muhlba91/pulumi-proxmoxve/releases/download/v{version}"}
PULUMI = "https://get.pulumi.com/releases/plugins"


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What a line is for: the entry that has its version, and how its lines begin."""

    entry: str
    name: str
    stem: str


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A provider's plugin, as the image that deploys installs it."""

    name: str
    version: str

    @property
    def url(self) -> str:
        """Its file, by the name that Pulumi has for it (workspace/plugins.go)."""
        server = SERVERS.get(self.name, PULUMI).replace("{version}", self.version)
        return f"{server}/pulumi-resource-{self.name}-v{self.version}-linux-amd64.tar.gz"


def providers() -> list[Plugin]:
    """The plugin of every provider that requirements.txt names."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    found = re.findall(r"^pulumi-([a-z-]+)==(\S+)", text, re.MULTILINE)
    return [Plugin(name=name, version=version) for name, version in found]


def plugins() -> Iterator[Pin]:
    """What images.sum may say of them."""
    for plugin in providers():
        stem = SERVERS.get(plugin.name, f"{PULUMI}/pulumi-resource-{plugin.name}-v")
        yield Pin(entry=f"plugins.{plugin.name}", name=plugin.url, stem=stem.partition("{")[0])


def sums_file(catalogue: Path) -> Path:
    """The file of sums that belongs to an images.yaml."""
    return catalogue.with_name(SUMS)


def read(catalogue: Path) -> dict[str, str]:
    """Name with its version -> SHA-256 in hex; lines that are none are left out."""
    lines = map(LINE.fullmatch, _lines(catalogue))
    return {line[1]: line[2] for line in lines if line}


def text(sums: Mapping[str, str]) -> str:
    """The file with these sums."""
    return HEAD + "".join(f"{name} sha256:{value}\n" for name, value in sorted(sums.items()))


def owner(line: str, wanted: Iterable[Pin]) -> Pin | None:
    """Whose line this is, in whatever version."""
    return next((pin for pin in wanted if line == pin.name or line.startswith(pin.stem)), None)


def disagreements(catalogue: Path, wanted: Iterable[Pin]) -> Iterator[str]:
    """Every line of the file that is not of what images.yaml and requirements.txt have now."""
    wanted = list(wanted)
    current = {pin.name for pin in wanted}
    for line in _lines(catalogue):
        found = LINE.fullmatch(line)
        if not found:
            yield f"{SUMS} has a line that is no name and sum: {line[:80]!r}"
        elif found[1] not in current:
            pin = owner(found[1], wanted)
            what, command = (
                (f"{pin.entry}: is {pin.name} now", pin.entry)
                if pin
                else ("is of nothing here", "")
            )
            yield (
                f"{what}, and {SUMS} has the sum of {found[1]}: "
                f"run {f'./lab pin {command}'.strip()} on a connected machine"
            )


def _lines(catalogue: Path) -> list[str]:
    path = sums_file(catalogue)
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]
