"""`./lab pin`: writes images.sum, from where the things come from.

None is ever made up: an image's digest is the registry's, checked against the manifest itself; a
download's SHA-256 is what the vendor's list says, which the vendor's key has signed where the
vendor signs, or, where there is no list, that of the file now served.
"""

import argparse
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from cli.commands.pin import signature
from cli.lib import http, registry
from cli.lib.fault import Fault, SettingsFault, say
from cli.lib.terminal import print_json
from settings import faults, images, pins
from settings.pins import Pin
from toolchain import files

# The one registry whose API has another host than its name (distribution/reference).
API_HOSTS = {"docker.io": "registry-1.docker.io"}


def pin(values: argparse.Namespace) -> int:
    """Fetch what is missing, or what was named; with --check compare, and write nothing.

    Exit 1 naming each that could not be found out, the others written.
    """
    try:
        catalogue = images.read()
    except images.CatalogueError as error:
        raise SettingsFault(str(error)) from None
    wanted = list(catalogue.pins())
    chosen, known = named(wanted, values.name), pins.read(images.PATH)
    todo = [pin for pin in chosen if values.check or values.name or pin.name not in known]
    found, failed = fetch(todo, sources(catalogue))
    if values.check:
        failed += [
            f"{pin.entry}: {pin.name} is not in {pins.SUMS}: run ./lab pin {pin.entry}"
            if pin.name not in known
            else f"{pin.entry}: {pin.name} is served as sha256:{found[pin.name]} now, and "
            f"{pins.SUMS} has sha256:{known[pin.name]}: run ./lab pin {pin.entry} if you trust it"
            for pin in chosen
            if pin.name in found and found[pin.name] != known.get(pin.name)
        ]
        done = "" if failed else f"{len(found)} as their sources have them"
    else:
        done = record(wanted, known, found) or ("" if failed else "nothing to do")
    if values.json:
        known = pins.read(images.PATH)
        rows = [
            {
                "entry": pin.entry,
                "name": pin.name,
                "sha256": known.get(pin.name),
                "served": found.get(pin.name),
            }
            for pin in chosen
        ]
        print_json({"file": pins.SUMS, "pins": rows, "faults": failed})
        return 1 if failed else 0
    if done:
        print(f"{pins.SUMS}: {done}")
    if failed:
        raise Fault("\n".join(failed))
    return 0


def named(wanted: list[Pin], name: str | None) -> list[Pin]:
    """The entries of that name, such as `vault` or `images.vault`; all without one."""
    if not name:
        return wanted
    found = [pin for pin in wanted if name in {pin.entry, pin.entry.partition(".")[2]}]
    if not found:
        every = sorted({pin.entry for pin in wanted})
        raise Fault(f"images.yaml has no {name}; {faults.suggestion(name, every)}", 2)
    return found


def record(wanted: list[Pin], known: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Write images.sum; what was done, in words, empty where there was nothing to do.

    The line of another version stays until its own version's is known: it is what says so.
    """
    both = {**known, **found}
    kept = {
        name: value
        for name, value in both.items()
        if (pin := pins.owner(name, wanted)) and (name == pin.name or pin.name not in both)
    }
    path = pins.sums_file(images.PATH)
    if kept == known:
        return ""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    files.replace(path, pins.text(kept).encode(), mode)
    gone = len(known.keys() - kept.keys())
    new = sum(known.get(name) != value for name, value in kept.items())
    return f"{new} written, {gone} removed; review and commit the change"


def sources(catalogue: images.Catalogue) -> dict[str, Callable[[httpx.Client], str]]:
    """Entry -> what asks its source for its SHA-256."""
    found: dict[str, Callable[[httpx.Client], str]] = {}
    for name, image in catalogue.images.items():
        found[f"images.{name}"] = partial(digest, image=image)
    for name, download in catalogue.downloads.items():
        found[f"downloads.{name}"] = partial(sum_of, download=download)
    for plugin in pins.providers():
        found[f"plugins.{plugin.name}"] = partial(served, url=plugin.url)
    return found


def fetch(
    todo: list[Pin], sources: Mapping[str, Callable[[httpx.Client], str]]
) -> tuple[dict[str, str], list[str]]:
    """Name -> SHA-256 of what could be found out, and what is to be said of the rest.

    Hosts that cannot be reached are one line, however much is on them.
    """
    found: dict[str, str] = {}
    failed: list[str] = []
    away: dict[str, str] = {}
    with http.client(follow_redirects=True) as client:
        for pin in todo:
            if host(pin) in away:
                continue
            say(f"{pin.entry} ...")
            try:
                found[pin.name] = sources[pin.entry](client)
            except httpx.TransportError as error:
                away[host(pin)] = ""
                away[error.request.url.host] = http.reason(error)
            except (httpx.HTTPError, Fault) as error:
                failed.append(f"{pin.entry}: {http.reason(error)}")
    if reasons := {name: reason for name, reason in away.items() if reason}:
        why = "; ".join(dict.fromkeys(reasons.values()))
        failed.append(f"{', '.join(reasons)} cannot be reached from here ({why})")
    return found, failed


def host(pin: Pin) -> str:
    """Where a pin's source is."""
    name = pin.name.partition("/")[0]
    return (urlsplit(pin.name).hostname or "") if "://" in pin.name else API_HOSTS.get(name, name)


def digest(client: httpx.Client, image: images.Image) -> str:
    """What the image's tag points to now, as the registry serves it."""
    host, _, repository = image.image.partition("/")
    url = f"https://{API_HOSTS.get(host, host)}/v2/{repository}/manifests/{image.tag}"
    found = registry.digest(client, url)
    if found is None:
        raise Fault(f"{host} has no {repository}:{image.tag}")
    return found.removeprefix("sha256:")


def sum_of(client: httpx.Client, download: images.Download) -> str:
    """The SHA-256 of a download, in hex."""
    url = download.file.url
    if not download.sums:
        say("the vendor has no list of sums; hashing the file that it serves now")
        return served(client, url)
    address = download.at(download.sums)
    answer = client.get(address).raise_for_status()
    if signed := download.signature:
        mark = client.get(download.at(signed.url)).raise_for_status()
        key = client.get(signed.key_url).raise_for_status()
        signature.check(answer.content, mark.content, key.content, signed.key_fingerprint, address)
    name = urlsplit(url).path.rpartition("/")[2]
    for line in answer.text.splitlines():
        found = re.fullmatch(r"([0-9a-fA-F]{64})\s+[* ]?(?:\./)?(.+?)\s*", line)
        if found and Path(found[2]).name == name:
            return found[1].lower()
    raise Fault(f"{address} does not list {name}")


def served(client: httpx.Client, url: str) -> str:
    """The SHA-256 of what is at an address now, in hex."""
    hashed = hashlib.sha256()
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            hashed.update(part)
    return hashed.hexdigest()
