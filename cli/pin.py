"""`./lab pin`: fills empty digests and checksums of images.yaml from where the things come from.

None is ever made up: an image's digest is the registry's, checked against the manifest itself; a
download's checksum is the vendor's list's, or, where there is no list, that of the file now served.
"""

import argparse
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import yaml

from cli.fault import Fault, SettingsFault, say
from cli.registry import request_manifest
from settings.images import PATH, CatalogueError, catalogue
from toolchain import files

TIMEOUT_S = 30.0
# The one registry whose API has another host than its name (distribution/reference).
API_HOSTS = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, kw_only=True)
class Gap:
    """An empty value in images.yaml: where its text stands, and what it is about."""

    start: int
    end: int
    name: str
    entry: Mapping[str, str]


def pin(_values: argparse.Namespace) -> int:
    """Fill what is empty; exit 1 naming each that could not be found out, the others written."""
    try:
        catalogue()
    except CatalogueError as error:
        raise SettingsFault(str(error)) from None
    text = PATH.read_text(encoding="utf-8")
    gaps = list(empty(text))
    if not gaps:
        print(f"{PATH.name}: nothing is empty")
        return 0
    found: list[tuple[Gap, str]] = []
    faults = []
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as client:
        for gap in gaps:
            say(f"{gap.name} ...")
            try:
                value = digest(client, gap) if "image" in gap.entry else sum_of(client, gap)
                found.append((gap, value))
            except (httpx.HTTPError, Fault) as error:
                faults.append(f"{PATH.name}: {gap.name}: {error or type(error).__name__}")
    if found:
        files.replace(PATH, filled(text, found).encode(), PATH.stat().st_mode & 0o777)
        print(f"{PATH.name}: {len(found)} filled; review and commit the change")
    if faults:
        raise Fault("not everything could be found out:\n" + "\n".join(faults))
    return 0


def empty(text: str) -> Iterator[Gap]:
    """The empty digests and checksums of images.yaml, in its order."""
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    for section, field in (("images", "digest"), ("downloads", "sha256")):
        for key, node in mapping(dict(mapping(tree)).get(section)):
            fields = dict(mapping(node))
            entry = {name: str(value.value) for name, value in fields.items()}
            if field in fields and not entry[field]:
                mark = fields[field]
                yield Gap(
                    start=mark.start_mark.index,
                    end=mark.end_mark.index,
                    name=f"{section}.{key}",
                    entry=entry,
                )


def mapping(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    """Key and value nodes of a map; nothing where it is none."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), value


def filled(text: str, found: Sequence[tuple[Gap, str]]) -> str:
    """The text with each gap filled; comments and layout stay."""
    for gap, value in sorted(found, key=lambda pair: pair[0].start, reverse=True):
        text = f'{text[: gap.start]}"{value}"{text[gap.end :]}'
    return text


def digest(client: httpx.Client, gap: Gap) -> str:
    """What the image's tag points to now, as the registry serves it."""
    host, _, repository = gap.entry["image"].partition("/")
    scheme = "http" if host.startswith("127.0.0.1") else "https"
    url = f"{scheme}://{API_HOSTS.get(host, host)}/v2/{repository}/manifests/{gap.entry['tag']}"
    answer = request_manifest(client, "GET", url).raise_for_status()
    found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    told = answer.headers.get("Docker-Content-Digest", found)
    if told != found:
        raise Fault(f"{host} says {told}, but what it sent is {found}; not pinned")
    return found


def sum_of(client: httpx.Client, gap: Gap) -> str:
    """The SHA-256 of a download, in hex."""
    url, sums = gap.entry["url"], gap.entry.get("sums", "")
    name = urlsplit(url).path.rpartition("/")[2]
    if not sums:
        say(f"{gap.name}: the vendor has no list of sums; hashing the file it serves now")
        hashed = hashlib.sha256()
        with client.stream("GET", url) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                hashed.update(part)
        return hashed.hexdigest()
    answer = client.get(sums).raise_for_status()
    for line in answer.text.splitlines():
        found = re.fullmatch(r"([0-9a-fA-F]{64})\s+[* ]?(?:\./)?(.+?)\s*", line)
        if found and Path(found[2]).name == name:
            return found[1].lower()
    raise Fault(f"{sums} does not list {name}")
