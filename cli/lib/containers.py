"""What a Docker engine says of its containers: by its API, side by side and within a limit of time.

Not by docker's command: its `stats` waits two seconds for a second sample, which only the use of
processors needs.
"""

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from cli.lib import http
from cli.lib.fault import Fault
from settings.containers import LAYER_LABEL, SERVICE_LABEL
from settings.docker_engine import Named

TIMEOUT_S = 2.0
AT_ONCE = 8  # questions; an engine answers more of them no sooner
HUB = ("docker.io/library/", "docker.io/")  # what Docker leaves out where it lists names
MOST_SAID = 120  # characters of what a health check says
OCI_VERSION = "org.opencontainers.image.version"


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a container runs, by what the engine knows of it; `label` is its vendor's version."""

    id: str = ""
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    label: str = ""

    def is_(self, reference: str) -> bool | None:
        """Whether it is the image of a reference; None where that cannot be told.

        By its digest where both are known: a tag may have been moved.
        """
        name, _, digest = reference.partition("@")
        if digest and self.digests:
            return digest in self.digests
        return short(name) in self.tags if self.tags else None

    def is_built(self, name: str) -> bool | None:
        """The same of one that the lab builds, as NAME:VERSION, whatever registry has it."""
        return any(tag.endswith(f"/{name}") for tag in self.tags) if self.tags else None

    def version(self) -> str:
        """Its version as people know it: its tag, else what its vendor or the engine calls it."""
        tags = [tag.rpartition(":")[2] for tag in self.tags]
        digests = [digest.partition(":")[2][:12] for digest in self.digests]
        return next(iter([*tags, *filter(None, [self.label]), *digests]), self.id[7:19])


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container as the engine has it; memory in bytes, None where the engine does not count it.

    since is when it started, or ended where it does not run.
    """

    name: str
    layer: str
    state: str
    reason: str = ""
    since: datetime | None = None
    restarts: int = 0
    memory: int | None = None
    limit: int | None = None
    image: Image = field(default_factory=Image)


def short(name: str) -> str:
    """An image's name as Docker lists it."""
    for prefix in HUB:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


@contextmanager
def client(named: Named) -> Iterator[httpx.Client]:
    """Asks the API of an engine, on its socket or by TLS with a client's certificate."""
    options: dict[str, Any] = {}
    if named.socket:
        base, options["transport"] = "http://docker", httpx.HTTPTransport(uds=named.socket)
    else:
        tls = named.certificates
        base = f"{'https' if tls else 'http'}://{urlsplit(named.host).netloc}"
        if tls:
            trust = ssl.create_default_context(cafile=str(tls / "ca.pem"))
            trust.load_cert_chain(tls / "cert.pem", tls / "key.pem")
            options["verify"] = trust
    with http.client(own=True, base_url=base, timeout=TIMEOUT_S, **options) as made:
        yield made


def look(named: Named, names: set[str]) -> dict[str, Container]:
    """Name -> container, of `names` and of all that have the lab's label.

    Fault where the engine does not answer.
    """
    try:
        with client(named) as engine, ThreadPoolExecutor(AT_ONCE) as pool:
            rows = _get(engine, "/containers/json?all=true")
            wanted = [row for row in rows if SERVICE_LABEL in row["Labels"] or _name(row) in names]
            images = dict.fromkeys(row["ImageID"] for row in wanted)
            told = pool.map(lambda id_: _image(engine, id_), images)
            asked = pool.map(lambda row: _container(engine, row["Id"]), wanted)
            by_id = dict(zip(images, told, strict=True))
            return {
                found["name"]: Container(**found, image=by_id[row["ImageID"]])
                for row, found in zip(wanted, asked, strict=True)
                if found
            }
    except (httpx.HTTPError, OSError) as error:
        reason = http.reason(error)
        raise Fault(f"the Docker engine at {named.host} ({named.source}): {reason}") from None


def _name(row: Mapping[str, Any]) -> str:
    return str((row["Names"] or [""])[0]).removeprefix("/")


def _get(engine: httpx.Client, path: str) -> Any:
    answer = engine.get(path)
    answer.raise_for_status()
    return answer.json()


def _image(engine: httpx.Client, id_: str) -> Image:
    try:
        told = _get(engine, f"/images/{id_}/json")
    except httpx.HTTPStatusError:
        return Image(id=id_)  # it was removed by force
    labels = (told.get("Config") or {}).get("Labels") or {}
    return Image(
        id=id_,
        tags=tuple(map(short, told.get("RepoTags") or ())),
        digests=tuple(name.rpartition("@")[2] for name in told.get("RepoDigests") or ()),
        label=labels.get(OCI_VERSION, ""),
    )


def _container(engine: httpx.Client, id_: str) -> dict[str, Any] | None:
    """What there is to say of a container; None where it has gone since it was listed."""
    try:
        told = _get(engine, f"/containers/{id_}/json")
    except httpx.HTTPStatusError:
        return None
    runs = told["State"]["Running"] and not told["State"]["Restarting"]
    state, reason = judged(told["State"], told["RestartCount"])
    return {
        "name": told["Name"].removeprefix("/"),
        "layer": told["Config"]["Labels"].get(LAYER_LABEL, ""),
        "state": state,
        "reason": reason,
        "since": _time(told["State"]["StartedAt" if runs else "FinishedAt"]),
        "restarts": told["RestartCount"],
        "memory": _used(engine, id_) if runs else None,
        "limit": told["HostConfig"]["Memory"] or None,
    }


def judged(state: Mapping[str, Any], restarts: int) -> tuple[str, str]:
    """(a container's state in a word, why it is not well), from the engine's State."""
    ended = f"exit code {state['ExitCode']}"
    if state.get("OOMKilled"):
        ended = "it needed more memory than its limit"
    health = (state.get("Health") or {}).get("Status", "running")
    if state["Status"] == "restarting" or (health == "starting" and restarts):
        return "restarting", ended
    if state["Status"] == "running":
        checks = (state.get("Health") or {}).get("Log") or ()
        said = [line for row in checks for line in row["Output"].splitlines() if line.strip()]
        last = said[-1].strip()[:MOST_SAID] if said and health == "unhealthy" else ""
        return ("running" if health == "none" else health), last
    if state["Status"] in ("exited", "dead"):
        return "stopped", ended
    return str(state["Status"]), ""


def _used(engine: httpx.Client, id_: str) -> int | None:
    """Bytes in use without what the kernel would give back, as `docker stats` counts them.

    None where nobody counts, or where the container ended meanwhile.
    """
    try:
        told = _get(engine, f"/containers/{id_}/stats?stream=false&one-shot=true")
    except httpx.HTTPStatusError:
        return None
    memory = told.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    more = memory.get("stats") or {}
    spare = more.get("total_inactive_file", more.get("inactive_file", 0))
    return max(0, int(memory["usage"]) - int(spare))


def _time(text: str) -> datetime | None:
    """The engine's time, in nanoseconds, or year 1 for never."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.year > 1 else None
