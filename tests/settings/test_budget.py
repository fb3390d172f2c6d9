"""The budget: the published plans of the original lab, and what holds for any plan."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from settings import SettingsError, load
from settings.budget import Budget, Guest, Host, Load, budget
from tests.harness.patched import patched

NODE = Host(key="common.target", memory_mib=32768, reserved_mib=2048, cores=16)


def guest(name: str, most: int, least: int | None = None, **more: object) -> Guest:
    """A machine of which only memory matters, unless more is said."""
    base = Guest(
        name=name,
        key=f"x.{name}.machine",
        id=1,
        kind="VM",
        cores=1,
        dedicated_mib=most,
        floating_mib=least,
        disk_gib=1,
        storage="disks",
    )
    return replace(base, **more)  # type: ignore[arg-type]


def original(memory: list[tuple[int, int | None]], cores: list[int], *, pinned: bool) -> Budget:
    """The original lab's five machines."""
    names = ("minio", "gitlab", "docker-gitlab", "docker-shared", "docker-apps")
    guests = tuple(
        guest(name, most, least, cores=count, pinned=pinned and name == "docker-shared")
        for name, (most, least), count in zip(names, memory, cores, strict=True)
    )
    return Budget(node=NODE, machines=guests)


FIRST = [(2048, None), (6144, 2048), (6144, 2048), (20480, 12288), (12288, 4096)]
SECOND = [(2048, None), (8192, None), (6144, 2048), (20480, 12288), (10240, 4096)]
VECTORS = {
    "first plan": (FIRST, [2, 1, 1, 8, 2], False, 22528, [10240, 6144, 6144, 2048, 2048]),
    "second plan": (SECOND, [2, 4, 1, 8, 2], False, 28672, [4096, 4096, 0, -4096, -2048]),
    "second, pinned": (SECOND, [2, 4, 1, 8, 2], True, 36864, [-4096, -4096, -8192, -4096, -10240]),
}


@pytest.mark.parametrize(("memory", "cores", "pinned", "floor", "free"), VECTORS.values())
def test_published_plans(
    memory: list[tuple[int, int | None]],
    cores: list[int],
    pinned: bool,
    floor: int,
    free: list[int],
) -> None:
    plan = original(memory, cores, pinned=pinned)
    assert plan.dedicated_mib == 47104
    assert plan.floor_mib == floor
    assert [plan.free_on_max_mib(machine) for machine in plan.machines] == free
    assert plan.cores == sum(cores)


def test_pinned_plan_is_over_by_what_it_lacks() -> None:
    plan = original(SECOND, [2, 4, 1, 8, 2], pinned=True)
    assert plan.errors == (
        "datalab:common.target.memory_mib: 32768 is 6144 MiB short of the machines' 36864 and 2048 "
        "for its own system; lower one of theirs, or add RAM",
    )


def test_second_plan_warns_of_cores_and_of_what_can_never_grow() -> None:
    plan = original(SECOND, [2, 4, 1, 8, 2], pinned=False)
    assert plan.errors == ()
    assert [text.partition(": ")[0] for text in plan.warnings] == [
        "datalab:x.docker-shared.machine.memory_mib",
        "datalab:x.docker-apps.machine.memory_mib",
        "datalab:common.target.cores",
    ]
    assert "4096 MiB are missing" in plan.warnings[0]
    assert [text.partition(": ")[0] for text in plan.notes] == [
        "datalab:x.docker-gitlab.machine.memory_mib"
    ]


def test_one_machine_as_large_as_the_node() -> None:
    plan = Budget(node=NODE, machines=(guest("a", 32768),))
    assert plan.free_on_max_mib(plan.machines[0]) == 0
    assert len(plan.errors) == 1
    assert "is 2048 MiB short" in plan.errors[0]


@pytest.mark.parametrize(
    ("cores", "level"), [(14, None), (15, "notes"), (16, "notes"), (17, "warnings")]
)
def test_cores(cores: int, level: str | None) -> None:
    plan = Budget(node=NODE, machines=(guest("a", 1024, cores=cores),))
    found = {name for name in ("errors", "warnings", "notes") if getattr(plan, name)}
    assert found == ({level} if level else set())


@pytest.mark.parametrize(
    ("disk", "level"), [(850, None), (851, "warnings"), (1000, "warnings"), (1001, "errors")]
)
def test_disks(disk: int, level: str | None) -> None:
    node = replace(NODE, storages_gib={"disks": 1000, "images": 1})
    plan = Budget(node=node, machines=(guest("a", 1024, disk_gib=disk),))
    found = {name for name in ("errors", "warnings", "notes") if getattr(plan, name)}
    assert found == ({level} if level else set())


def test_containers_and_jobs_fill_the_docker_host_to_the_last_mib() -> None:
    loads = (
        Load(name="a", key="a", memory_mib=1000),
        Load(name="j", key="j", memory_mib=8, count=3),
    )
    host = Host(key="h", memory_mib=1124, reserved_mib=100, cores=1)
    assert Budget(docker=host, containers=loads).errors == ()
    less = replace(host, memory_mib=1123)
    assert Budget(docker=less, containers=loads).errors == (
        "datalab:h.memory_mib: 1123 is 1 MiB short of the containers' and jobs' 1024 and 100 for "
        "its own system; lower one of theirs, or add RAM",
    )


def test_the_whole_lab() -> None:
    plan = budget(load(patched("lab", {}), "lab"))
    rows = {g.name: (g.id, g.kind, g.cores, g.disk_gib, g.floor_mib) for g in plan.machines}
    assert rows == {
        "store": (101, "LXC", 2, 200, 2048),
        "vault": (102, "LXC", 1, 20, 1024),
        "cache": (103, "LXC", 1, 100, 1024),
        "docker": (202, "VM", 6, 300, 16384),
        "gitlab": (201, "VM", 4, 100, 8192),
    }
    assert (plan.cores, plan.used_gib("local-lvm"), plan.floor_mib) == (14, 720, 28672)
    assert {plan.free_on_max_mib(machine) for machine in plan.machines} == {4096}
    assert (plan.errors, plan.warnings, plan.notes) == ((), (), ())


def test_worked_example_without_a_gpu() -> None:
    changes = {
        "platform.docker.machine.memory_mib": 18432,
        "platform.docker.machine.floor_mib": 12288,
        "services.ollama.gpu": False,
    }
    plan = budget(load(patched("lab", changes, ["platform.docker.machine.gpu"]), "lab"))
    assert plan.floor_mib == 24576
    free = {machine.name: plan.free_on_max_mib(machine) for machine in plan.machines}
    assert free == {"store": 8192, "vault": 8192, "cache": 8192, "gitlab": 8192, "docker": 2048}


def test_gitlab_and_its_runner_count_only_when_they_are_on() -> None:
    off = budget(load(patched("dev", {}), "dev"))
    changes = {"platform.gitlab.enabled": True, "common.target.memory_mib": 20480}
    on = budget(load(patched("dev", changes), "dev"))
    added = {load.key: load.total_mib for load in on.containers if load not in off.containers}
    assert added == {
        "platform.gitlab.container": 8192,
        "platform.runner.job": 2 * 512,
        "platform.runner.large_job": 1600,
        "platform.runner.provision_job": 192,
        "platform.runner.container": 128,
    }
    assert on.containers_mib == off.containers_mib + sum(added.values())


def test_all_jobs_of_a_machine_are_one_row_whatever_services_they_have() -> None:
    """Its slice bounds them with their `services:`; on an engine at hand nothing does."""
    lab = budget(load(patched("lab", {"platform.runner.services_limit": 16}), "lab"))
    rows = {row.key: row.total_mib for row in lab.containers if "runner" in row.key}
    assert rows == {"platform.runner": 2 * 768 + 1600 + 192}
    changes = {
        "platform.gitlab.enabled": True,
        "platform.runner.services_limit": 2,
        "common.target.memory_mib": 24576,
    }
    dev = budget(load(patched("dev", changes), "dev"))
    rows = {row.key: row.total_mib for row in dev.containers if "runner" in row.key}
    assert rows["platform.runner.service"] == 4 * 2 * 512
    off = {"platform.gitlab.enabled": False}
    without = budget(load(patched("lab", off, ["platform.gitlab.machine"]), "lab"))
    assert not [row for row in without.containers if "runner" in row.key]


def test_error_carries_the_plan() -> None:
    with pytest.raises(SettingsError) as caught:
        load(patched("lab", {"platform.docker.machine.memory_mib": 20480}), "lab")
    assert caught.value.budget is not None
    assert caught.value.budget.floor_mib == 32768


SIZES = st.integers(min_value=1, max_value=65536)
BALLOON = st.tuples(SIZES, SIZES).map(lambda pair: (max(pair), min(pair)))
PLANS = st.lists(BALLOON, min_size=2, max_size=6).map(
    lambda pairs: Budget(
        node=NODE, machines=tuple(guest(f"g{n}", *pair) for n, pair in enumerate(pairs))
    )
)


def with_first(plan: Budget, **change: object) -> Budget:
    """The plan with the first machine changed."""
    first, *others = plan.machines
    return replace(plan, machines=(replace(first, **change), *others))  # type: ignore[arg-type]


@given(PLANS)
def test_all_pinned_leave_the_same(plan: Budget) -> None:
    pinned = replace(plan, machines=tuple(replace(g, pinned=True) for g in plan.machines))
    assert pinned.floor_mib == pinned.dedicated_mib
    assert {pinned.free_on_max_mib(machine) for machine in pinned.machines} == {
        NODE.memory_mib - pinned.floor_mib
    }


@given(PLANS, SIZES)
def test_a_higher_floor_costs_the_others(plan: Budget, more: int) -> None:
    first = plan.machines[0]
    assume(first.floor_mib + more <= first.dedicated_mib)
    raised = with_first(plan, floating_mib=first.floor_mib + more)
    assert raised.free_on_max_mib(raised.machines[0]) == plan.free_on_max_mib(first)
    for before, after in zip(plan.machines[1:], raised.machines[1:], strict=True):
        assert raised.free_on_max_mib(after) == plan.free_on_max_mib(before) - more


@given(PLANS, SIZES)
def test_a_higher_maximum_costs_itself_alone(plan: Budget, more: int) -> None:
    first = plan.machines[0]
    raised = with_first(plan, dedicated_mib=first.dedicated_mib + more)
    assert raised.free_on_max_mib(raised.machines[0]) == plan.free_on_max_mib(first) - more
    for before, after in zip(plan.machines[1:], raised.machines[1:], strict=True):
        assert raised.free_on_max_mib(after) == plan.free_on_max_mib(before)


@given(PLANS)
def test_over_is_what_is_missing(plan: Budget) -> None:
    over = plan.floor_mib + NODE.reserved_mib - NODE.memory_mib
    memory = [text for text in plan.errors if "common.target.memory_mib" in text]
    assert len(memory) == (over > 0)
    assert all(f"is {over} MiB short" in text for text in memory)
