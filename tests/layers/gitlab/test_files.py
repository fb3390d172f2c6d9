"""GitLab's files as the programs read them that they are for: Ruby, Rails in outline, TOML."""

import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from layers.platform.gitlab import FILES
from layers.platform.runner import NAMES
from settings.mirrors import environment as cache_environment
from settings.mirrors import sources as cache_sources
from targets.templates import compiled
from tests.harness.deploy import Deployed, shared
from tests.layers.containers import ALLOW, GITLAB, world

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TOKEN = "glpat-" + "x" * 20
WANTED = "wanted-password"
VALUES = {
    "external_url": "https://gitlab.lab.home.arpa",
    "registry_url": "https://registry.lab.home.arpa:5050",
    "tls": True,
    "ssh_port": 22,
    # Ruby would put values in place of #{} and #@, were they not quoted.
    "root_password": 'it\'s "#{exit}" #@x \\ ü',
    "store_endpoint": "https://store.lab.home.arpa:9000",
    "store_region": "eu-west-1",
    "store_access_key": "gitlab",
    "store_secret_key": "s3cret",
    "backup_days": 14,
    "memory_mib": 8192,
}


def evaluate(text: str) -> dict[str, Any]:
    """What a gitlab.rb sets."""
    command = ["ruby", str(HERE / "evaluate.rb")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rendered(**change: Any) -> dict[str, Any]:
    """What our gitlab.rb sets, with some values changed."""
    return evaluate(compiled(FILES / "gitlab.rb.j2").render({**VALUES, **change}))


def test_the_registry_is_on_the_object_store() -> None:
    storage = rendered()["registry"]["storage"]
    assert storage["s3_v2"] == {
        "accesskey": "gitlab",
        "secretkey": "s3cret",
        "bucket": "gitlab-registry",
        "region": "eu-west-1",
        "regionendpoint": "https://store.lab.home.arpa:9000",  # with its scheme
        "pathstyle": True,
        "checksum_disabled": True,
    }
    assert storage["redirect"] == {"disable": True}
    assert storage["delete"] == {"enabled": True}


def test_memory_is_kept_low() -> None:
    found = rendered()
    assert found["puma"] == {"worker_processes": 0}
    assert found["nginx"]["worker_processes"] == 2
    assert found["postgresql"] == {"shared_buffers": "2048MB"}
    assert rendered(memory_mib=10240)["postgresql"] == {"shared_buffers": "2560MB"}
    assert found["sidekiq"] == {"concurrency": 10}
    assert found["prometheus_monitoring"] == {"enable": False}
    assert found["gitlab_kas"] == {"enable": False}
    rules = found["gitaly"]["configuration"]["concurrency"]
    assert {rule["rpc"].rpartition("/")[2]: rule["max_per_repo"] for rule in rules} == {
        "PostReceivePack": 3,
        "SSHUploadPack": 3,
    }
    assert found["gitaly"]["env"]["GITALY_COMMAND_SPAWN_MAX_PARALLEL"] == "2"
    for part in ("gitlab_rails", "gitaly"):
        assert "dirty_decay_ms" in found[part]["env"]["MALLOC_CONF"]


def test_backups_go_to_the_object_store() -> None:
    rails = rendered()["gitlab_rails"]
    assert rails["backup_keep_time"] == 14 * 86400
    assert rails["backup_upload_remote_directory"] == "backups"
    assert rails["backup_upload_connection"]["endpoint"] == VALUES["store_endpoint"]
    assert rails["backup_upload_connection"]["path_style"] is True
    assert rails["backup_upload_connection"]["enable_signature_v4_streaming"] is False


def test_nobody_is_told_of_the_lab_and_clones_have_the_port_of_ssh() -> None:
    rails = rendered(ssh_port=2222)["gitlab_rails"]
    assert rails["usage_ping_enabled"] is False
    assert rails["initial_gitlab_product_usage_data"] is False
    assert rails["gitlab_shell_ssh_port"] == 2222


def test_values_are_text_whatever_is_in_them() -> None:
    assert rendered()["gitlab_rails"]["initial_root_password"] == VALUES["root_password"]


def test_certificates_are_the_labs_and_only_with_tls() -> None:
    found = rendered()
    assert found["letsencrypt"] == {"enable": False}
    assert found["nginx"]["redirect_http_to_https"] is True
    for server in ("nginx", "registry_nginx"):
        assert found[server]["ssl_certificate"] == "/etc/gitlab/ssl/lab.crt"
    plain = rendered(tls=False, external_url="http://gitlab.lab.home.arpa:8929")
    assert not [key for key in plain["nginx"] if "ssl" in key or "https" in key]
    assert "registry_nginx" not in plain


def test_nothing_of_mattermost_is_left() -> None:
    """GitLab 19 stops at any key of it."""
    assert "mattermost" not in (FILES / "gitlab.rb.j2").read_text()


@pytest.mark.parametrize("variant", ["dev with GitLab", "lab"])
def test_both_places_get_a_file_that_ruby_takes(variant: str) -> None:
    platform = world(variant)["platform"]
    text = json.dumps([resource.inputs for resource in platform.resources])
    assert "registry_external_url" in text
    for resource in platform.resources:
        for upload in resource.inputs.get("uploads", []):
            if upload["file"].endswith("gitlab.rb"):
                assert evaluate(upload["content"])["external_url"].startswith("http")
        if "gitlab_config" in str(resource.inputs.get("stdin")):
            job = json.loads(resource.inputs["stdin"])
            assert evaluate(job["variables"]["gitlab_config"])["nginx"]


class Rails:
    """A GitLab in outline."""

    def __init__(self, folder: Path):
        self.file = folder / "world.json"
        self.write({"users": ["root"], "password": "initial", "tokens": []})

    def write(self, world: dict[str, Any]) -> None:
        self.file.write_text(json.dumps(world))

    def read(self) -> dict[str, Any]:
        world: dict[str, Any] = json.loads(self.file.read_text())
        return world

    def run(self, token: str = TOKEN) -> list[str]:
        """What access.rb said."""
        done = self.start(token)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def killed(self, change: int, token: str = TOKEN) -> bool:
        """Run it, killed after a change; whether there were so many."""
        return self.start(token, KILL_AT=str(change)).returncode == -signal.SIGKILL

    def start(self, token: str, **more: str) -> subprocess.CompletedProcess[str]:
        given = {"WORLD": str(self.file), "LAB_ROOT_PASSWORD": WANTED, "LAB_TOKEN": token}
        command = ["ruby", str(HERE / "rails.rb"), str(FILES / "access.rb")]
        env = {**os.environ, **given, **more}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def rails(tmp_path: Path) -> Rails:
    return Rails(tmp_path)


def test_access_is_given_once(rails: Rails) -> None:
    assert rails.run() == ["set the password of root", "set the API token"]
    world = rails.read()
    assert world["password"] == WANTED
    (token,) = world["tokens"]
    assert token["token"] == TOKEN
    assert "api" in token["scopes"]
    assert rails.run() == []
    assert rails.read() == world


def test_a_new_token_takes_the_old_ones_place(rails: Rails) -> None:
    rails.run()
    assert rails.run(token="glpat-" + "y" * 20) == ["set the API token"]
    assert [bool(token.get("revoked")) for token in rails.read()["tokens"]] == [True, False]


@pytest.mark.parametrize("found", ["a first start", "another token", "a revoked token"])
def test_access_is_given_though_it_was_killed_on_the_way(found: str, rails: Rails) -> None:
    if found == "another token":
        rails.run(token="glpat-" + "y" * 20)
    if found == "a revoked token":
        rails.run()
        rails.write({**rails.read(), "tokens": [{**rails.read()["tokens"][0], "revoked": True}]})
    before, change = rails.read(), 1
    while rails.killed(change):
        rails.run()
        world = rails.read()
        assert world["password"] == WANTED
        assert [t["token"] for t in world["tokens"] if not t.get("revoked")] == [TOKEN]
        rails.write(before)
        change += 1
    assert change == 3  # two changes each


def test_a_token_lives_on(rails: Rails) -> None:
    rails.run()
    world = rails.read()
    soon = datetime.date.today() + datetime.timedelta(days=30)
    world["tokens"][0]["expires_at"] = soon.isoformat()
    rails.write(world)
    assert rails.run() == ["prolonged the API token"]
    assert datetime.date.fromisoformat(rails.read()["tokens"][0]["expires_at"]) > soon


def test_a_revoked_token_is_given_again(rails: Rails) -> None:
    rails.run()
    world = rails.read()
    world["tokens"][0]["revoked"] = True
    rails.write(world)
    assert rails.run() == ["set the API token"]
    assert rails.run() == []


RUNNER: dict[str, Any] = {
    "url": "https://gitlab.lab.home.arpa",
    "runners": [
        {"name": "a", "token": 'glrt-"\\x', "limit": 2, "memory_mib": 768, "cpus": 1.5},
        {"name": "b", "token": "glrt-b", "limit": 1, "memory_mib": 1600, "cpus": None},
    ],
    "image": "docker.io/library/ubuntu:24.04",
    "network": "",
    "service": {"memory_mib": 512, "cpus": None},
    "services_limit": 4,
    "slice": "jobs.slice",
    "docker_host": "tcp://docker.lab.home.arpa:2376",
    "hosts": {"gitlab.lab.home.arpa": "192.168.1.201"},
    "environment": {
        "PIP_INDEX_URL": "http://cache.lab:8480/pypi/simple/",
        "PULUMI": "^a$=b/${C}/$1",
    },
    "sources": {
        "archive.ubuntu.com/ubuntu": "http://cache.lab:8480/ubuntu",
        "deb.debian.test/debian": "http://cache.lab:8480/debian",
        "dl-cdn.alpinelinux.org/alpine": "http://cache.lab:8480/alpine",
    },
}


def runner(**change: Any) -> dict[str, Any]:
    """Our config.toml, read."""
    return tomllib.loads(compiled(FILES / "config.toml.j2").render({**RUNNER, **change}))


def test_the_runner_uses_the_docker_vm_over_mutual_tls() -> None:
    found = runner()
    one, two = found["runners"]
    assert (one["token"], two["token"]) == ('glrt-"\\x', "glrt-b")
    assert one["tls-ca-file"] == "/etc/gitlab-runner/certs/ca.crt"
    assert {one["executor"], two["executor"]} == {"docker"}
    # It asks for as many jobs at once as it may run.
    assert [each["request_concurrency"] for each in (one, two)] == [one["limit"], two["limit"]]
    docker = one["docker"]
    assert docker["host"] == RUNNER["docker_host"]
    assert (docker["image"], docker["pull_policy"]) == (RUNNER["image"], ["if-not-present"])
    assert docker["volumes"] == ["/cache"]
    assert docker["tls_verify"] is True
    assert docker["tls_cert_path"] == "/etc/gitlab-runner/docker"
    assert docker["privileged"] is False
    assert (docker["memory"], docker["memory_swap"], docker["cpus"]) == ("768m", "768m", "1.5")
    assert two["docker"]["memory"] == "1600m"
    assert "cpus" not in two["docker"]
    assert docker["extra_hosts"] == ["gitlab.lab.home.arpa:192.168.1.201"]
    assert "/var/run/docker.sock" not in json.dumps(docker)


def test_no_job_is_in_the_services_network_where_they_can_be_reached_otherwise() -> None:
    """There a job's `services: [{alias: kafka}]` answered in the broker's place, to everybody."""
    for one in runner()["runners"]:
        assert one["feature_flags"] == {"FF_NETWORK_PER_BUILD": True}
        # It would win over the flag (networks.Manager.Create of GitLab Runner).
        assert "network_mode" not in one["docker"]
    for one in runner(network="datalab")["runners"]:
        assert one["docker"]["network_mode"] == "datalab"
        assert "feature_flags" not in one


def test_no_runner_can_take_the_slots_of_another() -> None:
    """GitLab Runner asks for jobs in turn: without limits, those that wait would hold all slots."""
    found = runner()
    assert [one["limit"] for one in found["runners"]] == [2, 1]
    assert found["concurrent"] == 3


def test_the_runner_uses_the_local_socket_where_there_is_no_host() -> None:
    one = runner(docker_host="", url="http://gitlab:8929", environment={})["runners"][0]
    assert "host" not in one["docker"]
    assert "tls-ca-file" not in one
    assert one["environment"] == []
    assert "pre_build_script" not in runner(sources={})["runners"][0]


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        (
            "apt/sources.list.d/ubuntu.sources",
            "URIs: http://archive.ubuntu.com/ubuntu/ https://vendor.test/archive.ubuntu.com\n",
            "URIs: http://cache.lab:8480/ubuntu/ https://vendor.test/archive.ubuntu.com\n",
        ),
        (
            "apt/sources.list.d/debian.sources",
            "URIs: http://deb.debian.test/debian\nURIs: http://deb.debian.test/debian-security\n",
            "URIs: http://cache.lab:8480/debian\nURIs: http://deb.debian.test/debian-security\n",
        ),
        (
            "apt/sources.list",
            "deb http://archive.ubuntu.com/ubuntu noble main\n",
            "deb http://cache.lab:8480/ubuntu noble main\n",
        ),
        (
            "apk/repositories",
            "https://dl-cdn.alpinelinux.org/alpine/v3.22/main\n",
            "http://cache.lab:8480/alpine/v3.22/main\n",
        ),
        ("os-release", "", ""),
    ],
)
@pytest.mark.parametrize("sed", ["sed", pytest.param("busybox", marks=pytest.mark.service)])
def test_apt_and_apk_of_jobs_use_the_cache(
    tmp_path: Path, path: str, before: str, after: str, sed: str
) -> None:
    """As the shell of a job runs it, with none of the other files there."""
    program = shutil.which(sed)
    assert program is not None
    (tmp_path / "sed").symlink_to(program)
    script = runner()["runners"][0]["pre_build_script"]
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(before)
    script = f"set -eu\n{script.replace('/etc/', f'{tmp_path}/')}echo goes on\n"
    done = subprocess.run(
        ["/bin/sh"],
        input=script,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("goes on\n", "")
    assert file.read_text() == after


def job_environment(config: str) -> dict[str, str]:
    """What jobs have by a config.toml; the runner expands $NAME, ${NAME}, and $$ to one dollar."""
    one, *others = tomllib.loads(config)["runners"]
    assert all(other["environment"] == one["environment"] for other in others)
    lines = [re.sub(r"\$(?:(\$)|\w+|\{\w+\})", r"\1", line) for line in one["environment"]]
    return dict(line.split("=", 1) for line in lines)


def deployed_config(environment: str, **more: Any) -> tuple[Deployed, str]:
    """Layer 2, deployed with a GitLab, and the runner's configuration in it."""
    change = {**(GITLAB if environment == "dev" else ALLOW), **more}
    deployed = shared(environment, change, layers=("foundation", "platform"))["platform"]
    configs = [
        upload["content"]
        for resource in deployed.resources
        for upload in resource.inputs.get("uploads", [])
        if upload["file"].endswith("config.toml")
    ] + [
        job["variables"]["gitlab_runner_config"]
        for resource in deployed.resources
        if "gitlab_runner_config" in (text := str(resource.inputs.get("stdin")))
        and (job := json.loads(text))
    ]
    (config,) = configs
    return deployed, config


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_a_request_that_waits_cannot_hold_the_provisioners_slot(environment: str) -> None:
    deployed, config = deployed_config(environment)
    (runner,) = deployed.all("datalab:platform:Runner")
    tags = {
        made.inputs["description"]: made.inputs.get("tagLists", [])
        for made in deployed.all("UserRunner")
    }
    assert tags == {
        "datalab": [],
        "datalab-large": ["datalab-large"],
        "datalab-provision": ["datalab-provision"],
    }
    for made in deployed.all("UserRunner"):
        assert made.inputs["untagged"] == (made.inputs["description"] == "datalab")
        assert made.parent == runner.urn
    found = tomllib.loads(config)
    limits = {one["name"]: one["limit"] for one in found["runners"]}
    assert limits == {"datalab": 2, "datalab-large": 1, "datalab-provision": 1}
    assert found["concurrent"] == deployed.settings.platform.runner.concurrent == 4
    sizes = {one["name"]: one["docker"]["memory"] for one in found["runners"]}
    assert sizes["datalab-large"] == "1600m"
    assert sizes["datalab-provision"] == "192m"


def test_the_labs_own_jobs_have_the_tags_of_its_runners() -> None:
    *_, pipelines = yaml.safe_load_all((ROOT / ".gitlab-ci.yml").read_text())
    assert pipelines["default"]["tags"] == [NAMES["large_job"]]
    provisioner = yaml.safe_load((ROOT / ".ci/provisioner.yml").read_text())[".provisioner"]
    assert provisioner["tags"] == [NAMES["provision_job"]]
    for kind in ("postgres", "kafka", "ollama"):
        *_, jobs = yaml.safe_load_all((ROOT / f".ci/{kind}.yml").read_text())
        assert jobs[f"provision:{kind}"]["extends"] == ".provisioner"
        assert "tags:" not in (ROOT / f".ci/provision/{kind}.yml").read_text()


@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_jobs_install_through_the_package_cache(environment: str) -> None:
    """With all that a laptop would set, at the address that containers reach."""
    kinds = {
        "pypi": "https://pypi.test/simple",
        "npm": "https://npm.test",
        "pulumi": "https://get.pulumi.com/releases/plugins",
    }
    change: dict[str, Any] = {
        **{f"foundation.cache.upstreams.{k}": {"kind": k, "url": kinds[k]} for k in kinds},
        "foundation.cache.upstreams.github": {"kind": "pulumi", "url": "https://github.com"},
    }
    deployed, config = deployed_config(environment, **change)
    base = {"dev": "http://cache:8480", "lab": "http://cache.lab.home.arpa:8480"}[environment]
    found = job_environment(config)
    assert found == cache_environment(deployed.settings.foundation.cache, base)
    script = tomllib.loads(config)["runners"][0]["pre_build_script"]
    for address, url in cache_sources(deployed.settings.foundation.cache, base).items():
        assert address.replace(".", "\\.") in script
        assert f"#{url}\\1#" in script
    assert "security\\.ubuntu\\.com/ubuntu" in script
    assert "${VERSION}" in found["PULUMI_PLUGIN_DOWNLOAD_URL_OVERRIDES"]
    assert found["PIP_INDEX_URL"].startswith(base)
