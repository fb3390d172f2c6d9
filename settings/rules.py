"""Rules between settings: each yields (dotted key, what is wrong and what to do)."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from provision import specs
from settings import cron, docker_names, ownership, time_zones
from settings.base import Container, dotted, walk
from settings.common import STATE_FOLDERS
from settings.declarations import FIXED, RENEWABLE, why_fixed
from settings.faults import suggestion
from settings.machines import Machine, Vm
from settings.names import ROWS
from settings.ownership import Fault
from settings.services.kafka import MOST_PARTITIONS
from settings.services.ollama import model_key

if TYPE_CHECKING:
    from settings import Settings

GITLAB_CORES, GITLAB_MIB = 4, 8192  # with less it froze (reference budget, section 4)
# What CI runs for the lab itself: mypy 0.9 GiB beside pytest, a rehearsal up to 1.5 GiB.
LARGE_JOB_MIB = 1536
# Measured, MLflow 3.17 without job execution: 385 MiB with one worker of about 250.
MLFLOW_MIB, MLFLOW_WORKER_MIB = 135, 250
# Metaspace, code cache, thread stacks and network buffers come on top of the JVM's heap.
HEAP_SHARE = 0.75
# RFC 6762 gives .local to multicast DNS, RFC 6761 .localhost to the loopback address.
MOST_NAME = 253  # characters of a name in DNS (RFC 1035)
RESERVED_DOMAINS = ("local", "localhost")
CONTENT = {"image_storage": ("import", "vztmpl"), "disk_storage": ("images", "rootdir")}


def check(settings: "Settings", *, whole: bool) -> Iterator[Fault]:
    """Every fault. Where settings are not whole, a rule ends at the section that is absent."""
    absent = () if whole else (AttributeError,)
    for rule in RULES:
        with suppress(*absent):
            yield from rule(settings)


def homes(settings: "Settings") -> Iterator[Fault]:
    """Layers 1 and 2 are containers on target `docker` and machines on target `proxmox`."""
    here = settings.common.target.kind
    fitting, other = ("container", "machine") if here == "docker" else ("machine", "container")
    for layer in ("foundation", "platform"):
        parts = vars(settings).get(layer)  # absent where its faults leave nothing of it
        for name, part in vars(parts).items() if parts else ():
            switched = name in ("gitlab", "runner") and not settings.platform.gitlab.enabled
            if getattr(part, other, None) is not None:
                yield f"{layer}.{name}.{other}", f"target {here} has a {fitting} instead; remove it"
            if not switched and getattr(part, fitting, ...) is None:
                yield f"{layer}.{name}.{fitting}", f"is missing; target {here} needs it"
    for name, upstream in settings.foundation.cache.upstreams.items():
        key = f"foundation.cache.upstreams.{name}.container"
        if here == "docker" and upstream.kind == "oci" and upstream.container is None:
            yield key, f"is missing; target {here} runs its registry in one"
        elif here != "docker" and upstream.container is not None:
            yield key, f"target {here} runs its registry on the cache's machine; remove it"


def sizes(settings: "Settings") -> Iterator[Fault]:
    """No machine has more cores than the node, no container more than its Docker host.

    A machine's `floor_mib` is at most its `memory_mib`.
    """
    target = settings.common.target
    for key, vm in walk(settings, Vm):
        if vm.floor_mib is not None and vm.floor_mib > vm.memory_mib:
            text = f"{vm.floor_mib} is above memory_mib, {vm.memory_mib}; lower it"
            yield f"{key}.floor_mib", text
    for key, machine in walk(settings, Machine):
        # qemu-server: "MAX n vcpus allowed per VM on this node".
        if target.kind == "proxmox" and machine.cores > target.cores:
            text = f"{machine.cores} is more than the node's {target.cores}; lower it"
            yield f"{key}.cores", text
    host = target if target.kind == "docker" else settings.platform.docker.machine
    for key, container in walk(settings, Container):
        # Docker: "Range of CPUs is from 0.01 to n.00, as there are only n CPUs available".
        if host is not None and container.cpus is not None and container.cpus > host.cores:
            text = f"{container.cpus:g} is more than the Docker host's {host.cores} cores; lower it"
            yield f"{key}.cpus", text


def gitlab(settings: "Settings") -> Iterator[Fault]:
    """GitLab has at least 4 cores and 8192 MiB, none of which may balloon away."""
    part, key = settings.platform.gitlab, "platform.gitlab"
    if not part.enabled:
        return
    for name in ("machine", "container"):
        home = getattr(part, name)
        cores = getattr(home, "cores", None) or getattr(home, "cpus", None)
        if home is not None and home.memory_mib < GITLAB_MIB:
            text = f"{home.memory_mib} is below GitLab's minimum of {GITLAB_MIB}"
            yield f"{key}.{name}.memory_mib", text
        if cores is not None and cores < GITLAB_CORES:
            field = "cores" if name == "machine" else "cpus"
            yield f"{key}.{name}.{field}", f"{cores:g} is below GitLab's minimum of {GITLAB_CORES}"
    machine = part.machine
    if machine and machine.floor_mib is not None and machine.floor_mib < machine.memory_mib:
        yield f"{key}.machine.floor_mib", "GitLab freezes when its memory balloons away; remove it"
    target = settings.common.target
    if target.kind == "docker" and target.cores < GITLAB_CORES:
        yield "common.target.cores", f"{target.cores} is below GitLab's minimum of {GITLAB_CORES}"


def runner(settings: "Settings") -> Iterator[Fault]:
    """The lab's own jobs have the memory that they need; without it no merge request passes."""
    memory = settings.platform.runner.large_job.memory_mib
    if settings.platform.gitlab.enabled and memory < LARGE_JOB_MIB:
        text = f"{memory} is below {LARGE_JOB_MIB}, what the lab's own jobs need"
        yield "platform.runner.large_job.memory_mib", text


def storages(settings: "Settings") -> Iterator[Fault]:
    """The storages that the node uses exist and take what is put on them."""
    node = settings.common.target
    if node.kind != "proxmox":
        return
    for name, needed in CONTENT.items():
        chosen, known = getattr(node, name), node.storages
        if chosen not in known:
            text = f"{chosen} is no storage; {suggestion(chosen, list(known))}"
            yield f"common.target.{name}", text
            continue
        for content in needed:
            if content not in node.storages[chosen].content:
                key = dotted(("common", "target", "storages", chosen, "content"))
                yield key, f"lacks {content}, which {name} needs; enable it in PVE and add it here"
    for key, machine in walk(settings, Machine):
        if machine.storage is None:
            continue
        if machine.storage not in node.storages:
            there = suggestion(machine.storage, list(node.storages))
            yield f"{key}.storage", f"{machine.storage} is not a storage of the node; {there}"
        elif (content := "images" if isinstance(machine, Vm) else "rootdir") not in (
            node.storages[machine.storage].content
        ):
            at = dotted(("common", "target", "storages", machine.storage, "content"))
            yield at, f"lacks {content}, which {key}.storage needs; enable it in PVE, add it here"


def common(settings: "Settings") -> Iterator[Fault]:
    """The domain is one for DNS, with room for a service's name, and the time zone exists.

    `generations` names secrets, but none that its server takes for its first administrator only.
    Certificates live shorter than the CA and longer than `renew_days`. Rescued state is kept apart
    from the state.
    """
    shared, days = settings.common, settings.common.certificates
    most = MOST_NAME - max(len(f"{name}.") for name in ROWS)
    if len(shared.domain) > most:
        text = f"has {len(shared.domain)} characters; the most is {most}"
        yield "common.domain", f"{text}, as the services' names come before it"
    if shared.domain.rpartition(".")[2] in RESERVED_DOMAINS:
        yield "common.domain", f"{shared.domain} never reaches a DNS server; use lab.home.arpa"
    if wrong := time_zones.fault(shared.timezone):
        yield "common.timezone", wrong
    if days.leaf_days > days.ca_days:
        text = f"{days.leaf_days} outlives the CA's ca_days, {days.ca_days}; lower it"
        yield "common.certificates.leaf_days", text
    if days.renew_days >= days.leaf_days:
        text = f"{days.renew_days} is not below leaf_days, {days.leaf_days}: every `up` would renew"
        yield "common.certificates.renew_days", text
    for name in shared.generations:
        if name in FIXED:
            yield dotted(("common", "generations", name)), f"cannot be set: {why_fixed(name)}"
        elif name not in RENEWABLE:
            text = f"is no secret; {suggestion(name, RENEWABLE)}"
            yield dotted(("common", "generations", name)), text
    for folder in STATE_FOLDERS:
        if shared.rescue.path.is_relative_to(folder):
            text = f"{shared.rescue.path} is where the state is, and would be lost with it"
            yield "common.rescue.path", f"{text}; choose a folder elsewhere"


def engine(settings: "Settings") -> Iterator[Fault]:
    """`common.target.address` is an address by which ports can be reached."""
    host = settings.common.target
    if host.kind == "docker" and (host.address.is_unspecified or host.address.is_multicast):
        yield "common.target.address", f"{host.address} cannot be reached; name one address"


def kafka(settings: "Settings") -> Iterator[Fault]:
    """Kafka has the memory for its heap and not too many partitions; its names do not collide."""
    part, key = settings.services.kafka, ("services", "kafka")
    most = int(part.container.memory_mib * HEAP_SHARE)
    if part.heap_mib > most:
        text = f"{part.heap_mib} is above {most}, three quarters of container.memory_mib; lower it"
        yield "services.kafka.heap_mib", text
    together = sum(topic.partitions for topic in part.topics.values())
    if together > MOST_PARTITIONS:
        text = f"have {together} partitions together; one broker has {MOST_PARTITIONS} at most"
        yield "services.kafka.topics", text
    plain: dict[str, str] = {}
    groups: dict[str, str] = {}
    for name, topic in part.topics.items():
        at = dotted((*key, "topics", name))
        # Both become the same name of a metric, so Kafka refuses the second.
        other = plain.setdefault(name.replace(".", "_"), name)
        if other != name:
            yield at, f"Kafka takes it for {other}: `.` and `_` are one"
        other = groups.setdefault(topic.group, name)
        if other != name:
            yield f"{at}.group", f"{topic.group} already reads {other}; use another"


def mlflow(settings: "Settings") -> Iterator[Fault]:
    """MLflow's memory is enough for its workers, each of which is a process."""
    part = settings.services.mlflow
    needed = MLFLOW_MIB + MLFLOW_WORKER_MIB * part.workers
    if part.container.memory_mib < needed:
        text = f"{part.container.memory_mib} is below {needed}, what {part.workers} workers need"
        yield "services.mlflow.container.memory_mib", text


def models(settings: "Settings") -> Iterator[Fault]:
    """No model is wanted twice; Ollama tells names apart without their case."""
    owners: dict[str, str] = {}
    for number, model in enumerate(settings.services.ollama.models):
        key = f"services.ollama.models[{number}]"
        for name in (specs.Ollama(model=model).listed.lower(), model_key(model)):
            owner = owners.setdefault(name, key)
            if owner != key:
                yield key, f"{model} cannot be told from {owner}, as both are {name}; remove one"
                break


def ollama(settings: "Settings") -> Iterator[Fault]:
    """On target `proxmox` Ollama's GPU is the Docker VM's, and of its type."""
    machine, node = settings.platform.docker.machine, settings.common.target
    wanted = settings.services.ollama
    if not wanted.gpu or machine is None or node.kind != "proxmox":
        return
    if not machine.devices:
        text = "the Docker VM has none; set platform.docker.machine.gpu, or this to false"
        yield "services.ollama.gpu", text
        return
    types = {node.pci[name].gpu_type for name in machine.devices if name in node.pci}
    if types and wanted.gpu_type not in types:
        found = ", ".join(sorted(str(type_ or "another vendor's") for type_ in types))
        text = f"{wanted.gpu_type} is not what the Docker VM has: {found}"
        yield "services.ollama.gpu_type", f"{text}; see common.target.pci"


def schedules(settings: "Settings") -> Iterator[Fault]:
    """GitLab takes the cron lines; it would refuse one in the middle of an `up`."""
    for name, schedule in settings.services.gitlab_project.schedules.items():
        if text := cron.fault(schedule.cron):
            yield f"services.gitlab_project.schedules.{name}.cron", text


def topics(settings: "Settings") -> Iterator[Fault]:
    """The model server's two topics exist and are not the same."""
    server, known = settings.apps.model_server, settings.services.kafka.topics
    for name in ("results_topic", "feedback_topic"):
        topic = getattr(server, name)
        if topic not in known:
            text = f"{topic} is no key of services.kafka.topics; {suggestion(topic, list(known))}"
            yield f"apps.model_server.{name}", text
    if server.results_topic == server.feedback_topic:
        text = f"{server.feedback_topic} is results_topic too; feedback needs its own"
        yield "apps.model_server.feedback_topic", text


RULES = (
    *(homes, *ownership.RULES, *docker_names.RULES, sizes, gitlab, runner, storages, common),
    *(engine, kafka, mlflow, models, ollama, schedules, topics),
)
