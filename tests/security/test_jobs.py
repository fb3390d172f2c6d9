"""A CI job cannot take down the machine that it runs on, nor gain rights there.

A job's author chooses images, `services:`, their number and what they run; nothing else. That the
machine's systemd makes the slice as written is in tests/ansible/test_roles.py, which has a machine.
"""

import tomllib
from typing import Any

import pytest

from tests.layers.gitlab.test_files import deployed_config

pytestmark = pytest.mark.slow


def runners(environment: str) -> list[dict[str, Any]]:
    """The Docker part of each runner that the lab registers."""
    _, config = deployed_config(environment)
    return [one["docker"] for one in tomllib.loads(config)["runners"]]


def mib(value: str) -> int:
    """Memory as Docker writes it."""
    assert value.endswith("m")
    return int(value[:-1])


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_no_container_of_a_job_is_without_a_limit(environment: str) -> None:
    """The runner has keys of their own for `services:` (createHostConfigForService)."""
    for docker in runners(environment):
        for kind in ("memory", "service_memory"):
            assert 32 <= mib(docker[kind]) <= 2048
            assert docker[f"{kind}_swap"] == docker[kind]  # no swap beyond it
        # Not below 0, which is no limit (GetServicesLimit).
        assert 0 <= docker["services_limit"] <= 4


def test_in_dev_where_no_slice_bounds_services_there_are_none() -> None:
    for docker in runners("dev"):
        assert docker["services_limit"] == 0
        assert "cgroup_parent" not in docker


def test_all_containers_of_all_jobs_are_in_one_slice() -> None:
    """With as much memory as the budget has for jobs."""
    deployed, _ = deployed_config("lab")
    found = {
        docker[key]
        for docker in runners("lab")
        for key in ("cgroup_parent", "service_cgroup_parent")
    }
    assert found == {"jobs.slice"}
    wanted = deployed.settings.platform.runner
    assert wanted.jobs_mib == 2 * 768 + 1600 + 192
    text = str([resource.inputs.get("stdin") for resource in deployed.resources])
    assert '"docker_host_slice": "jobs.slice"' in text
    assert f'"docker_host_jobs_mib": {wanted.jobs_mib}' in text


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_no_program_of_a_job_gains_rights(environment: str) -> None:
    for docker in runners(environment):
        assert docker["privileged"] is False
        for key in ("security_opt", "services_security_opt"):
            assert docker[key] == ["no-new-privileges:true"]
        # Of what it is given, the engine's socket would be root on the machine.
        assert docker["volumes"] == ["/cache"]
        assert not {"cap_add", "devices", "pid_mode", "userns_mode", "ipc_mode"} & set(docker)


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_a_job_goes_before_a_service_where_memory_is_short(environment: str) -> None:
    assert {docker["oom_score_adjust"] for docker in runners(environment)} == {500}
