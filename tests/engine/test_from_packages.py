"""`./lab up dev --from-packages` on a real Docker engine.

What stubs cannot show: that each server takes the files, flags, users and environment that the
program gives to the vendor's image, and becomes healthy; and that the local providers bring what is
in it up, see no difference afterwards, and take it away.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from layers import LAYERS
from layers.foundation.object_store import ACCESS
from layers.services.postgresql import LAKEHOUSE, READER, SECURE
from settings import containers
from settings.foundation.object_store import BUCKETS
from settings.names import endpoints
from settings.packaged import Contract, contracts
from tests.conftest import SUMS
from tests.harness import packaged, real_docker
from tests.harness.checkout import Checkout, checkout
from tests.harness.deploy import settings_of
from tests.harness.docker import engine, namespace
from tests.harness.mlflow import MODEL_SERVER, login
from tests.harness.mlflow import programs as packages
from tests.harness.process import clean_environment, wait_for
from tests.harness.real_docker import Docker
from toolchain import install, obtain, pulumi_cli

pytestmark = pytest.mark.service
# What the verb writes; OpenBao, as Vault takes ten minutes to build.
CHANGE: Mapping[str, Any] = {
    "common.target.images": "packages",
    "foundation.vault.engine": "openbao",
}
WANTED = {name: made for name, made in contracts().items() if name not in ("minio", "vault")}
# Their containers in the lab.
NAMES = sorted(one.docker_name for one in containers.wanted(settings_of("dev", CHANGE)))
# A person's own program: a run with an artifact, and a model that the model server may serve.
A_RUN = """
import mlflow, pandas
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
mlflow.set_experiment("checks")
data = pandas.DataFrame({"x": [1.0, 2.0, 3.0]})
model = LinearRegression().fit(data, 2 * data["x"])
with mlflow.start_run() as run:
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text("kept", "note.txt")
    mlflow.sklearn.log_model(
        model, name="model", registered_model_name="double", pip_requirements=[],
        signature=infer_signature(data, model.predict(data)),
    )
mlflow.MlflowClient().set_registered_model_alias("double", "champion", 1)
text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt")
print(text, mlflow.get_run(run.info.run_id).data.metrics["loss"])
"""
MESSAGES = """
import sys
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
server, topic = {"bootstrap.servers": sys.argv[1]}, f"checks-{sys.argv[2]}"
admin = AdminClient(server)  # its answers go with it
admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
producer = Producer(server)
producer.produce(topic, sys.argv[2])
producer.flush(30)
consumer = Consumer({**server, "group.id": topic, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
print(consumer.poll(60).value().decode())
consumer.close()
"""


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """An engine with the images: one that can make networks has none to build with."""
    own = real_docker.built(SUMS, CHANGE)
    archives = [*packaged.made(dict.fromkeys(WANTED.values())), *packaged.built(own)]
    with engine(tmp_path_factory.mktemp("docker"), networks=True) as host:
        packaged.load(archives, host)
        yield Docker(host)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, docker: Docker) -> Iterator[Checkout]:
    """`dev`, up by the one command."""
    variables = pulumi_cli.environment(
        obtain.ensure_pulumi(), clean_environment(DOCKER_HOST=docker.host)
    )
    inside = ("nsenter", f"--net={namespace(docker.host)}")
    made = checkout(
        "dev",
        tmp_path_factory.mktemp("dev"),
        variables,
        before=inside,
        removed=("foundation.vault.engine",),  # the committed file leaves it to the default
    )
    try:
        made.lab("up", "dev", "--from-packages", "--yes")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{logs(docker)}") from None
    yield made


def logs(docker: Docker) -> str:
    """What the containers that are not healthy said last."""
    listed = docker.ask("ps", "--all", "--format", "{{.Names}} {{.Status}}").splitlines()
    sick = [line for line in listed if "(healthy)" not in line]
    said = []
    for line in sick:
        command = ["docker", "--host", docker.host, "logs", "--tail", "30", line.split()[0]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        said.append(f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return "\n".join(said)


@pytest.mark.parametrize("contract", dict.fromkeys(WANTED.values()), ids=lambda made: made.name)
def test_an_image_keeps_its_contract(docker: Docker, contract: Contract) -> None:
    config = json.loads(docker.ask("image", "inspect", contract.reference))[0]["Config"]
    wanted = contract.config
    if wanted.entrypoint is not None:
        assert config["Entrypoint"] == list(wanted.entrypoint)
    assert config["Cmd"] == list(wanted.command)
    assert config["User"] == wanted.user
    assert sorted(config.get("ExposedPorts") or ()) == sorted(wanted.ports)
    assert sorted(config.get("Volumes") or ()) == sorted(wanted.volumes)
    assert config.get("StopSignal", "") == wanted.stop_signal
    environment = dict(row.split("=", 1) for row in config["Env"])
    assert wanted.environment.items() <= environment.items()
    lines = [f"command -v {tool} >/dev/null || echo lacks {tool}" for tool in contract.tools]
    lines += [
        f'[ "$(id -u {user})" = {number} ] || echo another {user}'
        for user, number in contract.users.items()
    ]
    run = ("run", "--rm", "--network=none", "--user=0", "--entrypoint=/bin/sh")
    assert docker.ask(*run, contract.reference, "-c", "\n".join(lines)) == ""


def test_the_registry_answers_its_health_check(docker: Docker) -> None:
    """In `dev` it asks its upstream before it listens, which no engine here reaches."""
    run = ("run", "--rm", "--detach", "--network=none", contracts()["registry"].reference)
    made = docker.ask(*run)
    ask = ("exec", made, "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:5000/")

    def healthy() -> bool:
        command = ["docker", "--host", docker.host, *ask]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    wait_for(healthy, 30, "the registry")
    docker.ask("kill", made)


def test_it_says_what_is_made_and_what_stands_in(dev: Checkout) -> None:
    said = dev.said[0]
    assert "made from packages, as from-packages.invalid/NAME: kafka, minio, nginx" in said
    assert "stands in for ollama, open-webui, portainer: a page that says so" in said
    assert "left out: GitLab" in said


def test_the_settings_say_it(dev: Checkout) -> None:
    """So every other verb knows, and plain Pulumi."""
    config = yaml.safe_load((dev.root / "Pulumi.dev.yaml").read_text())["config"]
    assert config["datalab:common"]["target"]["images"] == "packages"
    assert config["datalab:foundation"]["vault"]["engine"] == "openbao"
    assert "rehearsal/bin" in dev.lab("env", "dev")


def test_every_server_is_healthy_by_the_programs_parameters(dev: Checkout, docker: Docker) -> None:
    listed = docker.ask("ps", "--format", "{{.Names}} {{.Status}}").splitlines()
    assert sorted(line.split()[0] for line in listed if "(healthy)" in line) == NAMES
    for name in NAMES:
        made = docker.ask("container", "inspect", "--format", "{{.Image}}", name)
        tags = docker.ask("image", "inspect", "--format", "{{.RepoTags}}", made)
        assert tags.startswith(("[from-packages.invalid/", "[datalab/")), (name, tags)


def test_the_keys_of_a_consumer_open_its_buckets_alone(dev: Checkout) -> None:
    address = endpoints(settings_of("dev", CHANGE))["store"].netloc
    given = {"address": address, "credentials": dev.outputs("foundation")["credentials"]}
    found = asked(dev, "store", given)
    assert found == {name: sorted(ACCESS[name], key=[*BUCKETS].index) for name in found}
    assert {"mlflow", "lakehouse", "state"} <= found.keys()


def test_a_role_enters_its_databases_alone(dev: Checkout) -> None:
    port = endpoints(settings_of("dev", CHANGE))["postgresql"].port
    given = {"port": port, "credentials": dev.outputs("services")["postgresql_credentials"]}
    found = asked(dev, "sql", given)
    own = {"mlflow": ["mlflow"], **{role: ["lakehouse"] for role in (LAKEHOUSE, SECURE, READER)}}
    assert found == {user: own.get(user, []) for user in found}
    assert len(found) > 1


def asked(dev: Checkout, consumer: str, given: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """What a program of the lab's users found out (tests/engine/consumers.py)."""
    ca = dev.lab("ca", "dev")
    done = subprocess.run(
        [*dev.before, sys.executable, "-m", "tests.engine.consumers", consumer],
        input=json.dumps({**given, "ca": ca[ca.index("-----BEGIN") :]}),
        cwd=install.ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Mapping[str, list[str]] = json.loads(done.stdout)
    return found


def test_a_model_answers_and_its_rows_are_in_the_lake(dev: Checkout, tmp_path: Path) -> None:
    """From a run in MLflow to the README's query, as a person does it on a laptop."""
    known = endpoints(settings_of("dev", CHANGE))
    admin = dev.outputs("services")["logins"]["mlflow"]
    own = {"MLFLOW_TRACKING_URI": known["mlflow"].url, **login(admin["user"], admin["password"])}
    run = subprocess.run(
        [*dev.before, packages(MODEL_SERVER) / "python", "-c", A_RUN],
        env=clean_environment(**own, HOME=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # The client has no keys of the store: the server hands the artifact on.
    assert run.stdout.splitlines()[-1:] == ["kept 0.5"], run.stderr

    def ask(path: str, *words: str) -> str:
        # A model that is just loading is 503 with Retry-After.
        curl = ("curl", "-sS", "--noproxy", "*", "--retry", "30", "-w", " %{http_code}", *words)
        command = [*dev.before, *curl, f"{known['model-server'].url}/{path}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    question = {"models": {"name": "double", "version": "champion"}, "records": [{"x": 21}]}
    said = ask("inference", "--json", json.dumps(question))
    assert said.endswith(" 200"), said
    answer = json.loads(said.removesuffix(" 200"))
    assert answer["prediction"] == pytest.approx(42)
    assert ask("inference/logs/flush") == " 204"
    query = "FROM secure_stage.main.inference_results LIMIT 5"
    assert f'./lab edge dev sql "{query}"' in (dev.root / "README.md").read_text()
    said = dev.lab("edge", "dev", "sql", query, "--json")
    (row,) = json.loads(said[said.index("[\n") :])
    assert row["inference_uuid"] == answer["inference_uuid"]
    assert (row["model_name"], row["prediction"]) == ("double", pytest.approx(42))


def test_messages_on_both_listeners(dev: Checkout, docker: Docker) -> None:
    kafka = endpoints(settings_of("dev", CHANGE))["kafka"]
    inside = docker.ask(
        "exec", "datalab-model-server", "python", "-c", MESSAGES, kafka.inner_netloc, "inside"
    )
    assert inside == "inside"
    outside = [*dev.before, sys.executable, "-c", MESSAGES, kafka.netloc, "outside"]
    done = subprocess.run(outside, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "outside"


def test_every_address_answers(dev: Checkout) -> None:
    """By the names that people use, which this machine need not know."""
    said = {}
    for name, endpoint in endpoints(settings_of("dev", CHANGE)).items():
        if endpoint.label:
            host, port = endpoint.host, endpoint.port
            look = ("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*")
            known = ("--resolve", f"{host}:{port}:{endpoint.address}")
            command = [*dev.before, *look, *known, endpoint.url]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            said[name] = int(done.stdout)
    print(said)
    assert len(said) > 5
    assert {name: code for name, code in said.items() if not 200 <= code < 500} == {}


def test_sql_takes_the_password_over_tls_alone(dev: Checkout, docker: Docker) -> None:
    ask = 'PGPASSWORD=$(cat /run/secrets/postgresql-admin) psql -At "{} user=postgres {}" -c "{}"'
    ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    inside = ("exec", "datalab-postgresql", "bash", "-c")
    there = "host=$(hostname -i) dbname=postgres"
    assert docker.ask(*inside, ask.format(there, "sslmode=require", ssl)) == "t"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        docker.ask(*inside, ask.format(there, "sslmode=disable", ssl))
    assert "no encryption" in refused.value.stderr


def test_what_is_in_them_was_made(dev: Checkout, docker: Docker) -> None:
    roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^[^p]'"
    inside = ("exec", "--user", "postgres", "datalab-postgresql", "psql", "-Atc")
    found = "lakehouse lakehouse-reader lakehouse-secure mlflow vault vault-login"
    assert docker.ask(*inside, roles) == found
    # By the lakehouse's own client, which needs the store for it too.
    catalogs = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace"
    wanted = f"{catalogs} WHERE nspname ~ '^(stage|secure_stage|marts)$'"
    assert docker.ask(*inside, wanted, "lakehouse") == "marts secure_stage stage"
    topics = docker.ask("exec", "datalab-kafka", "ls", "/var/lib/kafka/data").split()
    assert {"ml_inference_feedback-0", "ml_inference_results-0"} <= set(topics)
    buckets = docker.ask("exec", "datalab-store", "ls", "/data").split()
    assert sorted(buckets) == sorted(BUCKETS)


def test_killed_servers_are_healthy_again(dev: Checkout, docker: Docker) -> None:
    """By their restart policies, from the data that they have."""
    for name in NAMES:
        pid = docker.ask("container", "inspect", "--format", "{{.State.Pid}}", name)
        os.kill(int(pid), signal.SIGKILL)
    health = ("container", "inspect", "--format", "{{.Name}} {{.State.Health.Status}}", *NAMES)

    def healthy() -> bool:
        return {line.split()[-1] for line in docker.ask(*health).splitlines()} == {"healthy"}

    try:
        wait_for(healthy, 240, "what was killed")
    except TimeoutError as error:
        raise AssertionError(f"{error}\n{docker.ask(*health)}\n{logs(docker)}") from None


def test_a_second_up_changes_nothing(dev: Checkout) -> None:
    begin = time.monotonic()
    said = dev.lab("up", "dev", "--from-packages", "--yes")
    print(f"a second up took {time.monotonic() - begin:.0f} s")
    assert "created" not in said
    assert "replaced" not in said


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_is_left_to_do(dev: Checkout, layer: str) -> None:
    dev.lab("preview", "dev", layer, "--", "--refresh", "--expect-no-changes", "--diff")


def test_down_leaves_images_and_says_so(dev: Checkout, docker: Docker) -> None:
    said = dev.lab("down", "dev", "--data", typed="dev")
    assert docker.ask("ps", "--all", "--quiet") == ""
    assert docker.ask("volume", "ls", "--quiet") == ""
    networks = docker.ask("network", "ls", "--format", "{{.Name}}").split()
    assert sorted(networks) == ["bridge", "host", "none"]
    assert "docker image ls -q from-packages.invalid/*" in said
