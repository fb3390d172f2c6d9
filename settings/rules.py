"""Rules between settings: each yields (dotted key, what is wrong and what to do).

A rule's parameters say what it reads (settings/sections.py).
"""

from collections.abc import Iterator

from provision import specs
from settings import cron, docker_names, ownership, time_zones
from settings.apps.lake_writer import LakeWriter
from settings.apps.model_server import ModelServer
from settings.base import dotted
from settings.budget import fits
from settings.common import STATE_FOLDERS, Certificates, Rescue
from settings.declarations import FIXED, RENEWABLE, why_fixed
from settings.faults import suggestion
from settings.foundation.cache import Cache
from settings.machines import Vm
from settings.platform.docker import DockerHost
from settings.platform.gitlab import GitLab
from settings.platform.runner import Runner
from settings.sections import Containers, Fault, Machines, Rule, Sections, arguments
from settings.services.gitlab_project import GitLabProject
from settings.services.kafka import MOST_PARTITIONS, Kafka
from settings.services.lakehouse import Lakehouse
from settings.services.mlflow import Mlflow
from settings.services.ollama import Ollama, model_key
from settings.target import DockerTarget, ProxmoxTarget

GITLAB_CORES, GITLAB_MIB = 4, 8192  # with less it froze (reference budget, section 4)
# What CI runs for the lab itself: mypy 0.9 GiB next to pytest, a rehearsal up to 1.5 GiB.
LARGE_JOB_MIB = 1536
# Measured, MLflow 3.17 without job execution: 385 MiB with one worker of about 250.
MLFLOW_MIB, MLFLOW_WORKER_MIB = 135, 250
# Metaspace, code cache, thread stacks and network buffers come on top of the JVM's heap.
HEAP_SHARE = 0.75
# RFC 6762 gives .local to multicast DNS, RFC 6761 .localhost to the loopback address.
RESERVED_DOMAINS = ("local", "localhost")
CONTENT = {"image_storage": ("import", "vztmpl"), "disk_storage": ("images", "rootdir")}


def check(sound: Sections) -> Iterator[Fault]:
    """Every fault of the rules that read sound sections alone."""
    for rule in RULES:
        values = arguments(rule, sound)
        if values is not None:
            yield from rule(**values)


def homes(target: DockerTarget | ProxmoxTarget, sections: Sections) -> Iterator[Fault]:
    """Layers 1 and 2 are containers on target `docker` and machines on target `proxmox`."""
    here = target.kind
    fitting, other = ("container", "machine") if here == "docker" else ("machine", "container")
    gitlab: GitLab | None = sections.get("platform.gitlab")
    for key, part in sections.items():
        if not key.startswith(("foundation.", "platform.")):
            continue
        needed = key not in ("platform.gitlab", "platform.runner") or (gitlab and gitlab.enabled)
        if getattr(part, other, None) is not None:
            yield f"{key}.{other}", f"target {here} has a {fitting} instead; remove it"
        if needed and getattr(part, fitting, ...) is None:
            yield f"{key}.{fitting}", f"is missing; target {here} needs it"


def registries(target: DockerTarget | ProxmoxTarget, cache: Cache) -> Iterator[Fault]:
    """The cache's registries are containers on target `docker` only."""
    for name, upstream in cache.upstreams.items():
        key = f"foundation.cache.upstreams.{name}.container"
        if target.kind == "docker" and upstream.kind == "oci" and upstream.container is None:
            yield key, "is missing; target docker runs its registry in one"
        elif target.kind == "proxmox" and upstream.container is not None:
            yield key, "target proxmox runs its registry on the cache's machine; remove it"


def floors(machines: Machines) -> Iterator[Fault]:
    """A machine's `floor_mib` is at most its `memory_mib`."""
    for key, vm in machines.items():
        if isinstance(vm, Vm) and vm.floor_mib is not None and vm.floor_mib > vm.memory_mib:
            text = f"{vm.floor_mib} is above memory_mib, {vm.memory_mib}; lower it"
            yield f"{key}.floor_mib", text


def cores(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """No machine has more cores than the node."""
    for key, machine in machines.items():
        # qemu-server: "MAX n vcpus allowed per VM on this node".
        if machine.cores > node.cores:
            yield f"{key}.cores", f"{machine.cores} is more than the node's {node.cores}; lower it"


def cpus(
    target: DockerTarget | ProxmoxTarget, docker: DockerHost, containers: Containers
) -> Iterator[Fault]:
    """No container has more cores than its Docker host."""
    host = target if target.kind == "docker" else docker.machine
    for key, container in containers.items():
        # Docker: "Range of CPUs is from 0.01 to n.00, as there are only n CPUs available".
        if host is not None and container.cpus is not None and container.cpus > host.cores:
            text = f"{container.cpus:g} is more than the Docker host's {host.cores} cores; lower it"
            yield f"{key}.cpus", text


def gitlab(gitlab: GitLab) -> Iterator[Fault]:
    """GitLab has at least 4 cores and 8192 MiB, none of which may balloon away."""
    key, machine, container = "platform.gitlab", gitlab.machine, gitlab.container
    if not gitlab.enabled:
        return
    for name, home in (("machine", machine), ("container", container)):
        if home is not None and home.memory_mib < GITLAB_MIB:
            text = f"{home.memory_mib} is below GitLab's minimum of {GITLAB_MIB}"
            yield f"{key}.{name}.memory_mib", text
    if machine and machine.cores < GITLAB_CORES:
        text = f"{machine.cores} is below GitLab's minimum of {GITLAB_CORES}"
        yield f"{key}.machine.cores", text
    if container and container.cpus is not None and container.cpus < GITLAB_CORES:
        text = f"{container.cpus:g} is below GitLab's minimum of {GITLAB_CORES}"
        yield f"{key}.container.cpus", text
    if machine and machine.floor_mib is not None and machine.floor_mib < machine.memory_mib:
        yield f"{key}.machine.floor_mib", "GitLab freezes when its memory balloons away; remove it"


def gitlab_in_dev(target: DockerTarget, gitlab: GitLab) -> Iterator[Fault]:
    """On target `docker` the machine has the cores that GitLab needs."""
    if gitlab.enabled and target.cores < GITLAB_CORES:
        yield "common.target.cores", f"{target.cores} is below GitLab's minimum of {GITLAB_CORES}"


def runner(gitlab: GitLab, runner: Runner) -> Iterator[Fault]:
    """The lab's own jobs have the memory that they need; without it no merge request passes."""
    memory = runner.large_job.memory_mib
    if gitlab.enabled and memory < LARGE_JOB_MIB:
        text = f"{memory} is below {LARGE_JOB_MIB}, what the lab's own jobs need"
        yield "platform.runner.large_job.memory_mib", text


def storages(node: ProxmoxTarget) -> Iterator[Fault]:
    """The node's storages for images and disks exist and take what is put on them."""
    for name, needed in CONTENT.items():
        chosen, known = getattr(node, name), node.storages
        if chosen not in known:
            text = f"{chosen} is not a storage of the node; {suggestion(chosen, list(known))}"
            yield f"common.target.{name}", text
            continue
        for content in needed:
            if content not in known[chosen].content:
                key = dotted(("common", "target", "storages", chosen, "content"))
                yield key, f"lacks {content}, which {name} needs; enable it in PVE and add it here"


def disks(node: ProxmoxTarget, machines: Machines) -> Iterator[Fault]:
    """A storage of a machine's own exists and takes its disk."""
    for key, machine in machines.items():
        if machine.storage is None:
            continue
        content = "images" if isinstance(machine, Vm) else "rootdir"
        if machine.storage not in node.storages:
            there = suggestion(machine.storage, list(node.storages))
            yield f"{key}.storage", f"{machine.storage} is not a storage of the node; {there}"
        elif content not in node.storages[machine.storage].content:
            at = dotted(("common", "target", "storages", machine.storage, "content"))
            yield at, f"lacks {content}, which {key}.storage needs; enable it in PVE, add it here"


def domain(domain: str) -> Iterator[Fault]:
    """The domain is one for DNS."""
    if domain.rpartition(".")[2] in RESERVED_DOMAINS:
        yield "common.domain", f"{domain} never reaches a DNS server; use lab.home.arpa"


def timezone(timezone: str) -> Iterator[Fault]:
    """The time zone exists."""
    if wrong := time_zones.fault(timezone):
        yield "common.timezone", wrong


def certificates(days: Certificates) -> Iterator[Fault]:
    """Certificates live shorter than the CA and longer than `renew_days`."""
    if days.leaf_days > days.ca_days:
        text = f"{days.leaf_days} outlives the CA's ca_days, {days.ca_days}; lower it"
        yield "common.certificates.leaf_days", text
    if days.renew_days >= days.leaf_days:
        text = f"{days.renew_days} is not below leaf_days, {days.leaf_days}: every `up` would renew"
        yield "common.certificates.renew_days", text


def generations(generations: dict[str, int]) -> Iterator[Fault]:
    """`generations` names secrets, but none that its server takes for its first administrator."""
    for name in generations:
        if name in FIXED:
            yield dotted(("common", "generations", name)), f"cannot be set: {why_fixed(name)}"
        elif name not in RENEWABLE:
            text = f"is not a secret; {suggestion(name, RENEWABLE)}"
            yield dotted(("common", "generations", name)), text


def rescue(rescue: Rescue) -> Iterator[Fault]:
    """Rescued state is kept apart from the state."""
    for folder in STATE_FOLDERS:
        if rescue.path.is_relative_to(folder):
            text = f"{rescue.path} is where the state is, and would be lost with it"
            yield "common.rescue.path", f"{text}; choose a folder elsewhere"


def address(target: DockerTarget) -> Iterator[Fault]:
    """The address for published ports is one that can be reached."""
    if target.address.is_unspecified or target.address.is_multicast:
        yield "common.target.address", f"{target.address} cannot be reached; name one address"


def kafka(kafka: Kafka) -> Iterator[Fault]:
    """Kafka has the memory for its heap and not too many partitions; its names do not collide."""
    most = int(kafka.container.memory_mib * HEAP_SHARE)
    if kafka.heap_mib > most:
        text = f"{kafka.heap_mib} is above {most}, three quarters of container.memory_mib; lower it"
        yield "services.kafka.heap_mib", text
    together = sum(topic.partitions for topic in kafka.topics.values())
    if together > MOST_PARTITIONS:
        text = f"have {together} partitions together; one broker has {MOST_PARTITIONS} at most"
        yield "services.kafka.topics", text
    plain: dict[str, str] = {}
    groups: dict[str, str] = {}
    for name, topic in kafka.topics.items():
        at = dotted(("services", "kafka", "topics", name))
        # Both become the same name of a metric, so Kafka refuses the second.
        other = plain.setdefault(name.replace(".", "_"), name)
        if other != name:
            yield at, f"Kafka takes it for {other}: `.` and `_` are one"
        other = groups.setdefault(topic.group, name)
        if other != name:
            yield f"{at}.group", f"{topic.group} already reads {other}; use another"


def mlflow(mlflow: Mlflow) -> Iterator[Fault]:
    """MLflow's memory is enough for its workers, each of which is a process."""
    needed = MLFLOW_MIB + MLFLOW_WORKER_MIB * mlflow.workers
    if mlflow.container.memory_mib < needed:
        text = (
            f"{mlflow.container.memory_mib} is below {needed}, what {mlflow.workers} workers need"
        )
        yield "services.mlflow.container.memory_mib", text


def models(ollama: Ollama) -> Iterator[Fault]:
    """No model is wanted twice; Ollama tells names apart without their case."""
    owners: dict[str, str] = {}
    for number, model in enumerate(ollama.models):
        key = f"services.ollama.models[{number}]"
        for name in (specs.Ollama(model=model).listed.lower(), model_key(model)):
            owner = owners.setdefault(name, key)
            if owner != key:
                yield key, f"{model} cannot be told from {owner}, as both are {name}; remove one"
                break


def ollama(node: ProxmoxTarget, docker: DockerHost, ollama: Ollama) -> Iterator[Fault]:
    """On target `proxmox` Ollama's GPU is the Docker VM's, and of its type."""
    machine = docker.machine
    if not ollama.gpu or machine is None:
        return
    if not machine.devices:
        text = "the Docker VM has none; set platform.docker.machine.gpu, or this to false"
        yield "services.ollama.gpu", text
        return
    types = {node.pci[name].gpu_type for name in machine.devices if name in node.pci}
    if types and ollama.gpu_type not in types:
        found = ", ".join(sorted(str(type_ or "another vendor's") for type_ in types))
        text = f"{ollama.gpu_type} is not what the Docker VM has: {found}"
        yield "services.ollama.gpu_type", f"{text}; see common.target.pci"


def schedules(project: GitLabProject) -> Iterator[Fault]:
    """GitLab takes the cron lines; it would refuse one in the middle of an `up`."""
    for name, schedule in project.schedules.items():
        if text := cron.fault(schedule.cron):
            yield f"services.gitlab_project.schedules.{name}.cron", text


def topics(server: ModelServer, kafka: Kafka) -> Iterator[Fault]:
    """The model server's two topics exist and are not the same."""
    known = kafka.topics
    for name in ("results_topic", "feedback_topic"):
        topic = getattr(server, name)
        if topic not in known:
            text = (
                f"{topic} is not a key of services.kafka.topics; {suggestion(topic, list(known))}"
            )
            yield f"apps.model_server.{name}", text
    if server.results_topic == server.feedback_topic:
        text = f"{server.feedback_topic} is results_topic too; feedback needs its own"
        yield "apps.model_server.feedback_topic", text


def lake_catalog(writer: LakeWriter, lakehouse: Lakehouse) -> Iterator[Fault]:
    """The lake writer's catalog is one that there is."""
    known = list(lakehouse.catalogs)
    if writer.catalog not in known:
        text = (
            f"{writer.catalog} is not a key of services.lakehouse.catalogs; "
            f"{suggestion(writer.catalog, known)}"
        )
        yield "apps.lake_writer.catalog", text


RULES: tuple[Rule, ...] = (
    *(homes, registries, *ownership.RULES, *docker_names.RULES, floors, cores, cpus),
    *(gitlab, gitlab_in_dev, runner, storages, disks),
    *(domain, timezone, certificates, generations, rescue, address),
    *(kafka, mlflow, models, ollama, schedules, topics, lake_catalog, fits),
)
