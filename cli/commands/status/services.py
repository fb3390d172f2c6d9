"""The services of an environment: its containers as the engine has them, others as they answer."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

import httpx

from cli.commands.status.report import STARTING, UNKNOWN, WELL, Row
from cli.lib import http
from cli.lib.command import unknown
from cli.lib.containers import Container, Image
from cli.lib.fault import Fault
from settings import Settings, images
from settings.containers import Wanted, docker_name, image_of, recipe, taken, wanted
from settings.declarations import SERVICES
from settings.names import Endpoint, endpoints
from settings.service import Listener, Service
from targets.image import version

ANSWER_S = 1.5


def address_of(settings: Settings, service: Service) -> str:
    """Where a person clicks: the service's first page, else where its programs call it."""
    present = endpoints(settings)
    there = [listener for listener in service.listeners if listener.name in present]
    named = [listener for listener in there if listener.label] or there
    return present[named[0].name].url if named else ""


def find(settings: Settings, name: str) -> tuple[Service, str]:
    """(service called `name`, its container; empty where it has a machine of its own).

    Fault naming all that there are where there is none of that name.
    """
    here = {one.name: (one.service, one.docker_name) for one in wanted(settings)}
    here |= {service.name: (service, "") for service in with_machine(settings)}
    if name not in here:
        raise Fault(unknown("service", name, here), 2)
    return here[name]


def with_machine(settings: Settings) -> list[Service]:
    """The services that answer on a machine of their own."""
    present = endpoints(settings)
    return [
        service
        for service in SERVICES
        if service.name in present
        and getattr(attrgetter(service.key)(settings), "machine", None) is not None
    ]


def names(settings: Settings) -> set[str]:
    """The containers that the settings want, by their names in the engine."""
    return {one.docker_name for one in wanted(settings)}


def containers(
    env: str, settings: Settings, found: Mapping[str, Container] | None
) -> Iterator[Row]:
    """A row for each container that is wanted, and for each that nobody wants any more.

    `found` is None where the engine could not be asked.
    """
    for one in wanted(settings):
        yield _row(env, settings, one, found)
    for name in sorted(set(found or ()) - names(settings)):
        extra = (found or {})[name]
        yield Row(
            layer=extra.layer,
            service=name.removeprefix(docker_name("")),
            state=extra.state,
            running=extra.image.version(),
            since=extra.since,
            restarts=extra.restarts,
            memory=extra.memory,
            limit=extra.limit,
            problem=f"is not in the settings: ./lab up {env} removes it",
        )


def _row(env: str, settings: Settings, one: Wanted, found: Mapping[str, Container] | None) -> Row:
    release, is_ = _wanted_image(settings, one)
    about: dict[str, Any] = {
        "layer": one.service.layer,
        "service": one.name,
        "wanted": release,
        "address": address_of(settings, one.service) if one.name == one.service.name else "",
    }
    if found is None:
        return Row(**about, state=UNKNOWN, limit=one.memory_mib << 20)
    real = found.get(one.docker_name)
    if real is None:
        problem = f"is missing: ./lab up {env} makes it"
        return Row(**about, state="missing", limit=one.memory_mib << 20, problem=problem)
    same = is_(real.image)
    running = release if same else real.image.version()
    return Row(
        **about,
        state=real.state,
        running=running,
        since=real.since,
        restarts=real.restarts,
        memory=real.memory,
        limit=real.limit,
        problem="; ".join(_problems(env, one, real, release, running if same is False else "")),
    )


def _problems(env: str, one: Wanted, real: Container, release: str, old: str) -> Iterator[str]:
    reason = f" ({real.reason})" if real.reason else ""
    again = f": docker start {one.docker_name}" if real.state == "stopped" else ""
    if real.state not in (*WELL, STARTING):
        yield f"is {real.state}{reason}{again or f': ./lab logs {one.name} {env}'}"
    if old:
        yield f"is outdated: it runs {old}, {release} is wanted: ./lab up {env}"


def _wanted_image(settings: Settings, one: Wanted) -> tuple[str, Callable[[Image], bool | None]]:
    """(version of what the container should run, whether an image is it; None: unknown)."""
    if one.built:
        release = version(recipe(settings, one.image))
        return release, lambda image: image.is_built(f"{one.image}:{release}")
    reference = taken(settings, images.image(one.image))
    release = reference.partition("@")[0].rpartition(":")[2]
    return release, lambda image: image.is_(reference)


def on_machines(settings: Settings) -> Iterator[Row]:
    """A row for each service that a machine of its own answers for, asked at its address."""
    present = endpoints(settings)
    asked = with_machine(settings)
    with ThreadPoolExecutor() as pool:
        answers = pool.map(
            lambda service: _answers(present[service.name], service.listeners[0]), asked
        )
        for service, reason in zip(asked, answers, strict=True):
            yield Row(
                layer=service.layer,
                service=service.name,
                state="down" if reason else "answers",
                wanted=_release(settings, service),
                address=address_of(settings, service),
                problem=f"does not answer at {present[service.name].address}: {reason}"
                if reason
                else "",
            )


def _release(settings: Settings, service: Service) -> str:
    """The version that its role installs, where images.yaml has one of its name."""
    catalogue, name = images.catalogue(), image_of(settings, service)
    if download := catalogue.downloads.get(name):
        return download.version
    repository = catalogue.repositories.get(name)
    return repository.releases[0].version if repository else ""


def _answers(where: Endpoint, listener: Listener) -> str:
    """Why a service does not answer; empty where it does."""
    from cli.lib.reach import unreachable

    if reason := unreachable(str(where.address), where.port, ANSWER_S):
        return reason
    if not where.scheme.startswith("http") or not listener.page:
        return ""
    try:
        # By its address, as DNS may not know the lab; whether it is trusted is the browser's part.
        with http.client(own=True, verify=False, timeout=ANSWER_S) as client:
            answer = client.get(
                f"{where.scheme}://{where.reached}{listener.page}",
                headers={"Host": where.netloc},
                extensions={"sni_hostname": where.host},
            )
    except httpx.HTTPError as error:
        return http.reason(error)
    return f"{answer.status_code} {answer.reason_phrase}" if answer.is_server_error else ""
