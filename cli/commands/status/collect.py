"""Asks everybody at once how an environment is; reads only."""

import json
from concurrent.futures import ThreadPoolExecutor

from cli.commands.status import ends, hosts, services
from cli.commands.status.report import Report
from cli.lib import backend, containers
from cli.lib.fault import Fault
from cli.lib.remote import Remote, read
from layers import LAYERS
from settings import Settings, docker_engine
from settings.names import endpoints


def look(env: str) -> Report:
    """The environment as it is now; SettingsFault where its settings have faults."""
    settings = backend.settings_of(env)
    present = endpoints(settings)
    report = Report(env=env, start_page=present["gateway"].url if "gateway" in present else "")
    local = settings.common.target.kind == "docker"
    with ThreadPoolExecutor() as pool:
        apart = pool.submit(lambda: list(services.on_machines(settings)))
        dates = pool.submit(lambda: list(ends.certificates(env, settings)))
        # The state alone knows GitLab's tokens, and how to reach what is on a node.
        needed = not local or "gitlab" in present
        state = pool.submit(_state, env, settings, report) if needed else None
        if local:
            found = _containers(report, settings, docker_engine.named())
        remote = state.result() if state else None
        if not local:
            found = _on_node(report, settings, remote)
        report.services += [*apart.result(), *services.containers(env, settings, found)]
        report.ends += dates.result()
        if remote:
            report.ends += ends.tokens(env, settings, remote.expiries)
    order = {layer: number for number, layer in enumerate(LAYERS)}
    report.services.sort(key=lambda row: order.get(row.layer, len(order)))
    try:
        report.drift = json.loads(backend.drift_file(env).read_text())
    except (OSError, ValueError):
        report.drift = None
    return report


def _state(env: str, settings: Settings, report: Report) -> Remote | None:
    try:
        return read(env, settings)
    except Fault as fault:
        report.unreached.append(f"the state of {env}: {fault}")
        return None


def _containers(
    report: Report, settings: Settings, named: docker_engine.Named
) -> dict[str, containers.Container] | None:
    try:
        return containers.look(named, services.names(settings))
    except Fault as fault:
        report.unreached.append(str(fault))
        return None


def _on_node(
    report: Report, settings: Settings, remote: Remote | None
) -> dict[str, containers.Container] | None:
    """The Docker VM's containers; its machines' figures go into the report meanwhile."""
    if remote is None:
        report.unreached.append("containers and machines, which are reached by what the state has")
        return None
    with ThreadPoolExecutor() as pool:
        machines = pool.submit(hosts.add, report, settings, remote)
        try:
            with remote.engine() as named:
                return _containers(report, settings, named)
        except Fault as fault:
            report.unreached.append(str(fault))
            return None
        finally:
            machines.result()
