"""The services' traps: each test is named after what once went wrong, here or elsewhere."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.ci import gate
from layers.services.mlflow import CA, USER, allowed_hosts
from provision import kafka, ollama, postgres, request
from settings.declarations import BY_KEY
from settings.images import PATH, catalogue
from settings.names import certificate_names, endpoints, hosts
from settings.services.gitlab_project import Workflow
from tests.harness.deploy import Deployed, deploy_on_sample, settings_of
from tests.harness.gitlab import check_request
from tests.harness.inputs import check_inputs, declared
from tests.layers.containers import container, files, published, variables, world

ROOT = PATH.parent
INVENTORY = Path(__file__).parent / "golden"


def body(inputs: dict[str, Any]) -> dict[str, Any]:
    """A resource's inputs as the provider puts them into a request, without the project's id."""
    names = {name: re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", name) for name in inputs}
    return {names[key]: value for key, value in inputs.items() if key != "project"}


def job_network(platform: Deployed) -> tuple[set[str], bool]:
    """The names that the runner tells its jobs, and whether they join the services' network."""
    texts = [
        upload["content"] for r in platform.resources for upload in r.inputs.get("uploads", [])
    ] + [
        str(json.loads(r.inputs["stdin"])["variables"].get("gitlab_runner_config"))
        for r in platform.resources
        if r.inputs.get("stdin")
    ]
    (config,) = [text for text in texts if "[runners.docker]" in text]
    found = tomllib.loads(config)["runners"]
    (known,) = {frozenset(one["docker"]["extra_hosts"]) for one in found}
    return {line.partition(":")[0] for line in known}, "network_mode" in found[0]["docker"]


def outer_urls(layers: dict[str, Deployed]) -> list[str]:
    """What a deployment asks whether it answers (cli/ci/probe.py)."""
    outputs = [layers[name].outputs for name in ("services", "apps")]
    pages = [found for layer in outputs for found in layer.values() if isinstance(found, dict)]
    return [page["url"] for page in pages if "url" in page] + list(outputs[1]["urls"].values())


@pytest.mark.parametrize("variant", ["dev", "lab"])
def test_inventory(variant: str) -> None:
    """A renamed resource is a deleted and a new one."""
    layer = world(variant)["services"]
    found = sorted(f"{r.type} {r.name}" for r in layer.resources)
    assert found == (INVENTORY / variant / "inventory.txt").read_text().splitlines()


@pytest.mark.parametrize(("variant", "prefix"), [("dev", ""), ("lab", "cache.lab.home.arpa:8480/")])
def test_images_come_through_the_cache(variant: str, prefix: str) -> None:
    """Docker Hub's by the daemon's mirror, and in `dev` none."""
    images = catalogue().images
    pulled = {r.name: r.inputs["name"] for r in world(variant)["services"].all("RemoteImage")}
    assert pulled["open-webui-image"] == prefix + images["open-webui"].reference
    assert pulled["ollama-image"] == images["ollama"].reference


class TestMlflow:
    def test_every_name_that_people_or_containers_use_is_allowed_with_and_without_port(
        self,
    ) -> None:
        hosts = allowed_hosts(endpoints(settings_of("lab"))["mlflow"]).split(",")
        for name in ("mlflow", "mlflow.lab.home.arpa", "localhost", "127.0.0.1"):
            assert name in hosts
            assert f"{name}:*" in hosts

    @pytest.mark.parametrize("variant", ["dev", "lab"])
    def test_it_is_on_postgresql_over_checked_tls(self, variant: str) -> None:
        inputs = container(world(variant)["services"], "mlflow")
        uri = urlsplit(variables(inputs)["MLFLOW_BACKEND_STORE_URI"])
        assert (uri.scheme, uri.netloc) == ("postgresql+psycopg", "mlflow@postgresql:5432")
        query = parse_qs(uri.query)
        assert query["sslmode"] == ["verify-full"]
        assert query["sslrootcert"] == [CA]
        passwords = files(inputs)[query["passfile"][0]]
        assert (passwords["permissions"], passwords["owner"]) == ("0400", str(USER))
        assert passwords["content"].startswith("*:*:*:mlflow:")

    @pytest.mark.parametrize("variant", ["dev", "lab"])
    def test_its_keys_are_in_files_and_the_store_is_checked_with_the_lab_s_ca(
        self, variant: str
    ) -> None:
        inputs = container(world(variant)["services"], "mlflow")
        found = variables(inputs)
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & found.keys()
        assert (
            "aws_secret_access_key"
            in files(inputs)[found["AWS_SHARED_CREDENTIALS_FILE"]]["content"]
        )
        assert found["AWS_CA_BUNDLE"] == CA
        assert found["MLFLOW_S3_ENDPOINT_URL"].startswith("https://store")
        assert found["AWS_DEFAULT_REGION"] == "eu-west-1"
        assert found["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"

    def test_health_is_asked_by_the_public_name(self) -> None:
        found = variables(container(world("lab")["services"], "mlflow"))
        assert found["HEALTH_HOST"] == "mlflow.lab.home.arpa"
        page = BY_KEY["services.mlflow"].listeners[0].page
        assert f'"{page}"' in (ROOT / "images/mlflow/health.py").read_text()

    def test_image_has_one_mlflow_and_the_model_server_speaks_the_same(self) -> None:
        server = (ROOT / "images/mlflow/requirements.txt").read_text()
        client = (ROOT / "apps/model_server/requirements.txt").read_text()
        (version,) = re.findall(r"^mlflow(?:\[auth\])?==(\S+)", server, re.MULTILINE)
        assert re.findall(r"^mlflow-skinny==(\S+)", client, re.MULTILINE) == [version]

    def test_it_starts_as_root_and_runs_as_the_files_user(self) -> None:
        recipe = (ROOT / "images/mlflow/Dockerfile").read_text()
        assert f"useradd --uid {USER} " in recipe
        assert '"setpriv", "--reuid=mlflow", "--regid=mlflow", "--clear-groups"' in recipe
        assert not re.search("^USER", recipe, re.MULTILINE)


class TestOllama:
    def test_gpu_is_used_in_the_lab_only(self) -> None:
        assert container(world("lab")["services"], "ollama")["gpus"] == "all"
        assert "gpus" not in container(world("dev")["services"], "ollama")

    def test_it_listens_beyond_its_own_loopback(self) -> None:
        found = variables(container(world("dev")["services"], "ollama"))
        assert found["OLLAMA_HOST"] == "0.0.0.0:11434"

    def test_models_are_pulled_by_provision_with_hours_of_time(self) -> None:
        change = {"services.ollama.models": ["hf.co/some/model:Q4", "llama3.2:1b"]}
        layer = deploy_on_sample("services", "dev", change)
        made = layer.one("command:local:Command", "llama3.2-1b-model").inputs
        assert made["create"] == (
            ".venv/bin/python -m provision ollama --url http://localhost:11434 --model llama3.2:1b"
        )
        layer.one("command:local:Command", "hf.co-some-model-Q4-model")

    def test_models_are_pulled_through_the_gateway_once_it_answers(self) -> None:
        layer = deploy_on_sample("services", "lab", {"services.ollama.models": ["llama3.2:1b"]})
        pull = layer.one("command:local:Command", "llama3.2-1b-model")
        assert "--url https://ollama.lab.home.arpa " in pull.inputs["create"]
        gateway = layer.one("docker:index/container:Container", "gateway-container")
        assert gateway.urn in pull.dependencies


class TestOpenWebUi:
    def test_settings_count_after_the_first_start_too(self) -> None:
        found = variables(container(world("dev")["services"], "open-webui"))
        assert found["ENABLE_PERSISTENT_CONFIG"] == "False"

    def test_no_visitor_becomes_the_administrator(self) -> None:
        inputs = container(world("dev")["services"], "open-webui")
        found = variables(inputs)
        assert found["ENABLE_SIGNUP"] == "False"
        assert found["WEBUI_ADMIN_EMAIL"] == "admin@lab.home.arpa"
        password = files(inputs)["/run/secrets/WEBUI_ADMIN_PASSWORD"]["content"]
        assert password.startswith("open-webui-admin")
        # Earlier ones do not know the two variables (open-webui 0.6.32, read from its wheel).
        version = tuple(int(n) for n in catalogue().images["open-webui"].tag[1:].split("."))
        assert version >= (0, 9, 6)

    def test_sessions_outlive_the_container(self) -> None:
        inputs = container(world("dev")["services"], "open-webui")
        assert len(files(inputs)["/run/secrets/WEBUI_SECRET_KEY"]["content"]) >= 32

    def test_cookies_are_for_tls_where_there_is_tls(self) -> None:
        secure = {
            variant: variables(container(world(variant)["services"], "open-webui"))[
                "WEBUI_SESSION_COOKIE_SECURE"
            ]
            for variant in ("dev", "lab")
        }
        assert secure == {"dev": "False", "lab": "True"}


class TestPortainer:
    def test_it_has_its_administrator_from_the_start(self) -> None:
        inputs = container(world("dev")["services"], "portainer")
        flag = "--admin-password-file=/run/secrets/portainer-admin"
        assert flag in inputs["command"]
        # Portainer refuses passwords of less than 12 characters.
        assert len(files(inputs)["/run/secrets/portainer-admin"]["content"]) >= 12

    def test_it_is_told_of_no_origin_as_versions_differ_in_how_they_want_it(self) -> None:
        """The gateway passes on the name and port that the browser has (test_gateway.py)."""
        for variant in ("dev", "lab"):
            words = container(world(variant)["services"], "portainer")["command"]
            assert not [word for word in words if "origin" in word], variant

    def test_the_image_has_the_shell_tools_of_its_health_check(self) -> None:
        assert catalogue().images["portainer"].tag.endswith("-alpine")

    def test_in_dev_it_sees_the_local_engine(self) -> None:
        inputs = container(world("dev")["services"], "portainer")
        assert "--host=unix:///var/run/docker.sock" in inputs["command"]
        sockets = [v for v in inputs["volumes"] if v.get("hostPath") == "/var/run/docker.sock"]
        assert len(sockets) == 1
        assert published(inputs) == {9443: 9443}

    def test_in_the_lab_it_sees_the_docker_host_as_a_client_with_a_certificate(self) -> None:
        inputs = container(world("lab")["services"], "portainer")
        assert "--host=tcp://docker.lab.home.arpa:2376" in inputs["command"]
        assert "--tlsverify" in inputs["command"]
        hosts = {entry["host"]: entry["ip"] for entry in inputs["hosts"]}
        assert hosts["docker.lab.home.arpa"] == "192.168.1.202"
        for flag in ("--tlscacert=", "--tlscert=", "--tlskey=", "--sslcert=", "--sslkey="):
            (given,) = [word for word in inputs["command"] if word.startswith(flag)]
            assert files(inputs)[given.removeprefix(flag)]["content"].startswith("-----BEGIN")
        assert not [v for v in inputs["volumes"] if v.get("hostPath")]


class TestGitLabProject:
    @pytest.mark.slow
    def test_without_gitlab_there_is_none_and_its_library_is_not_even_loaded(self) -> None:
        layer = world("dev")["services"]
        assert not [r for r in layer.resources if "gitlab" in r.type.lower()]
        assert layer.outputs["gitlab_project"] == {"id": "", "path": "", "registry": ""}
        code = (
            "import sys, layers.services, layers.apps;"
            "sys.exit('pulumi_gitlab' in sys.modules or 'pulumi_vault' in sys.modules)"
        )
        done = subprocess.run(
            [ROOT / ".venv/bin/python", "-c", code], cwd=ROOT, check=False, timeout=60
        )
        assert done.returncode == 0

    def test_group_and_project_are_private_and_protected(self) -> None:
        layer = world("lab")["services"]
        for type_, name in (("Group", "gitlab-group"), ("Project", "gitlab-project")):
            made = layer.one(f"gitlab:index/{type_.lower()}:{type_}", name)
            assert made.inputs["visibilityLevel"] == "private"
            assert made.protect

    def test_names_are_settings(self) -> None:
        change = {
            "services.gitlab_project.group": "home",
            "services.gitlab_project.project": "infra",
        }
        layer = deploy_on_sample("services", "lab", change)
        project = layer.one("gitlab:index/project:Project", "gitlab-project")
        assert project.inputs["path"] == "infra"
        image = layer.one("docker:index/image:Image", "mlflow-build")
        assert image.inputs["imageName"].startswith(
            "registry.lab.home.arpa:5050/home/infra/mlflow:"
        )

    def test_no_variable_is_secret_and_none_breaks_the_rules_of_masked_ones(self) -> None:
        for layer in world("lab").values():
            for variable in layer.all("gitlab:index/instanceVariable:InstanceVariable"):
                assert not variable.inputs.get("masked")
                assert "value" not in variable.secret, variable.name
        certificate = world("lab")["services"].one(
            "gitlab:index/instanceVariable:InstanceVariable", "gitlab-datalab-ca-file"
        )
        assert certificate.inputs["variableType"] == "file"

    def test_schedules_start_workflows_that_the_pipeline_knows(self) -> None:
        workflows = get_args(Workflow)
        change = {
            f"services.gitlab_project.schedules.{workflow.replace('_', '-')}": {
                "cron": "17 3 * * *",
                "workflow": workflow,
            }
            for workflow in workflows
        }
        schedules = deploy_on_sample("services", "lab", change).all("PipelineSchedule")
        sent = {s.name: body(s.inputs) for s in schedules}
        wanted = {f"{workflow.replace('_', '-')}-schedule": workflow for workflow in workflows}
        assert sent.keys() == {*wanted, "renewal-schedule"}
        known = declared(ROOT / ".gitlab-ci.yml")
        for name, workflow in wanted.items():
            check_request("POST", "/api/v4/projects/1/pipeline_schedules", sent[name])
            assert sent[name]["ref"] == "refs/heads/main"
            # Text in the request, which GitLab reads as JSON before it compares the types.
            given = {item["name"]: json.loads(item["value"]) for item in sent[name]["inputs"]}
            assert given == {workflow: True}
            assert check_inputs(known, given)[workflow] is True

    def test_jobs_of_further_groups_may_pull_the_images(self) -> None:
        change = {
            "services.gitlab_project.pulling_groups": [42],
        }
        layer = deploy_on_sample("services", "lab", change)
        scopes = layer.one(
            "gitlab:index/projectJobTokenScopes:ProjectJobTokenScopes", "gitlab-job-tokens"
        )
        assert scopes.inputs["targetGroupIds"][1:] == [42]

    def test_tokens_are_renewed_before_they_end_and_may_do_no_more_than_they_must(self) -> None:
        layer = world("lab")["services"]
        tokens = layer.all("gitlab:index/projectAccessToken:ProjectAccessToken")
        assert {t.name: (t.inputs["accessLevel"], t.inputs["scopes"]) for t in tokens} == {
            "gitlab-notes": ("reporter", ["api"]),
            "gitlab-status": ("guest", ["read_api"]),
        }
        for token in tokens:
            rotation = token.inputs["rotationConfiguration"]
            assert rotation["expirationDays"] == 180
            assert 0 < rotation["rotateBeforeDays"] < rotation["expirationDays"]
        # Even if nobody runs `up`: the clock deploys, and the gate lets renewals pass.
        clock = [body(s.inputs)["inputs"] for s in layer.all("PipelineSchedule")]
        assert [{"name": "deploy", "value": "true"}] in clock
        assert {t.type for t in tokens} == {gate.TOKEN}
        assert set().union(*(t.inputs for t in tokens)) <= gate.DECIDED
        holders = {
            record.name
            for record in layer.all("vault:kv/secretV2:SecretV2")
            if {"GITLAB_TOKEN", "read_token"} & json.loads(record.inputs["dataJson"]).keys()
        }
        assert holders == set(gate.RECORDS)

    @pytest.mark.parametrize("variant", ["dev with GitLab", "lab"])
    @pytest.mark.slow
    def test_jobs_reach_every_address_that_they_are_told(self, variant: str) -> None:
        """In the lab from a network of their own, by names that no DNS server needs to know."""
        layers = world(variant)
        known, joins = job_network(layers["platform"])
        records = {
            r.inputs["name"]: json.loads(r.inputs["dataJson"])
            for r in layers["services"].all("vault:kv/secretV2:SecretV2")
        }
        database = records[postgres.ADMIN_PATH]
        broker = records[kafka.ADMIN_PATH]["bootstrap"]
        models = records[ollama.ADMIN_PATH]["url"]
        if joins:
            assert (database["host"], broker) == ("postgresql", "kafka:29092")
            assert models == "http://ollama:11434"
            return
        assert database["host"] == "postgresql.lab.home.arpa"
        assert broker == "192.168.1.202:9092"  # where the broker's outer listener sends them on to
        assert models == "https://ollama.lab.home.arpa"
        told = [database["host"], *(urlsplit(url).hostname for url in outer_urls(layers))]
        told += [urlsplit(models).hostname, urlsplit(records[request.GITLAB_PATH]["url"]).hostname]
        assert len(told) > 8
        settings = layers["services"].settings
        names = {name for address in hosts(settings).values() for name in address}
        assert set(told) <= names == known
        assert database["host"] in certificate_names(settings, "postgresql")[0]

    def test_jobs_find_in_vault_what_provision_reads(self) -> None:
        records = {
            r.inputs["name"]: r for r in world("lab")["services"].all("vault:kv/secretV2:SecretV2")
        }
        needed = {kafka.ADMIN_PATH, ollama.ADMIN_PATH, postgres.ADMIN_PATH, request.GITLAB_PATH}
        assert needed <= records.keys()
        for record in records.values():
            assert "dataJson" in record.secret
