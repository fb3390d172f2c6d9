"""The example of an external project, end to end: its pipeline, the lab's pipeline, the servers.

Real: gitlab-ci-local on both repositories, PostgreSQL, Kafka, Vault's API. Stand-ins: GitLab's API,
which starts the lab's pipeline when it is triggered, and Ollama.
"""

import re
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.gitlab import Pipeline
from tests.harness.pipelines import ROOT, Repository
from tests.provision.lab import LAB_PROJECT, Lab

pytestmark = pytest.mark.service

PROJECT = 42
PYTHON = Path(sys.executable).parent
EXAMPLE = ROOT / "examples" / "external-project"
IMAGES = {"DATALAB_RUNNER_IMAGE": "runner", "DATALAB_DEPLOYER_IMAGE": "deployer"}


class Arguments:
    """The arguments of every process of this machine, as anybody on it could have seen them."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Arguments":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(place.read_text(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.005)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `provision`, as the runner image has it, and the Python of the tests."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "provision"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {shlex.quote(sys.executable)} -m provision "$@"\n'
    )
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def lab_repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    files = {name: ROOT / name for name in (".gitlab-ci.yml", ".ci")}
    return Repository.make(tmp_path_factory.mktemp("lab"), "datalab/datalab", files)


@pytest.fixture
def consumer(
    servers: Lab,
    broker: str,
    commands: Path,
    lab_repository: Repository,
    tmp_path: Path,
) -> Iterator[Repository]:
    """The example's repository, in a GitLab that runs the lab's own pipelines."""
    lock = threading.Lock()  # gitlab-ci-local keeps state in the folder

    def work(pipeline: Pipeline) -> None:
        job = f"provision:{next(k for k in pipeline.inputs if pipeline.inputs[k] is True)[10:]}"
        with lock:
            code, output = lab_repository.run(
                variables={
                    **IMAGES,
                    "CI_PIPELINE_SOURCE": "trigger",
                    "CI_COMMIT_BRANCH": "main",
                    "DATALAB_VAULT_ADDR": servers.bao.address,
                    "VAULT_ID_TOKEN": servers.gitlab.id_token(
                        LAB_PROJECT, pipeline_source="trigger"
                    ),
                },
                inputs=pipeline.inputs,
                path=[commands, PYTHON],
            )
        servers.outputs.append(output)
        status = "success" if code == 0 else "failed"
        pipeline.jobs = [
            {"id": pipeline.id, "name": job, "status": status, "trace": output.encode()}
        ]
        pipeline.statuses = [status]

    def start(pipeline: Pipeline) -> None:
        pipeline.statuses = ["running"]
        threading.Thread(target=work, args=(pipeline,), daemon=True).start()

    servers.gitlab.on_trigger = start
    made = Repository.make(
        tmp_path / "project",
        "team/project",
        {place.name: place for place in EXAMPLE.iterdir()},
    )
    made.redirects = [(lab_repository.bare, lab_repository.path)]
    yield made
    servers.gitlab.on_trigger = lambda pipeline: None


def run(
    servers: Lab, repository: Repository, commands: Path, *jobs: str, project: int = PROJECT
) -> tuple[int, str]:
    code, output = repository.run(
        *jobs,
        variables={
            **IMAGES,
            "CI_PROJECT_ID": str(project),
            "DATALAB_VAULT_ADDR": servers.bao.address,
            "VAULT_ID_TOKEN": servers.gitlab.id_token(project),
        },
        path=[commands, PYTHON],
    )
    servers.outputs.append(output)
    return code, output


def test_the_example_end_to_end_twice(servers: Lab, consumer: Repository, commands: Path) -> None:
    with Arguments() as arguments:
        code, output = run(servers, consumer, commands)
        assert code == 0, output
        assert "1 visits" in output
        assert "read what was sent" in output
        first = {
            path: servers.read(f"projects/{PROJECT}/{path}")
            for path in ("postgres/my_project_db", "kafka/my_project_events", "ollama/smollm2:135m")
        }
        before = len(servers.outputs)
        code, output = run(servers, consumer, commands)
        assert code == 0, output
        assert "2 visits" in output
    assert {path: servers.read(f"projects/{PROJECT}/{path}") for path in first} == first
    again = servers.outputs[before:]
    assert sum("nothing to do" in text for text in again) == 3
    assert not re.findall("created (?:role|database|topic)|initialised|pulled", "".join(again))

    secrets = {
        first["postgres/my_project_db"]["DB_PASS"],
        servers.gitlab.trigger_token,
        "provisioner-of-the-test",
        servers.bao.root_token,
    }
    artifacts = [
        place.read_text(errors="replace")
        for place in consumer.folder.rglob("*")
        if place.is_file() and ".git/" not in str(place)
    ]
    assert len(arguments.seen) > 20
    for text in (*servers.outputs, *artifacts, *arguments.seen):
        assert not [secret for secret in secrets if secret in text]
        # Nor the ID token of any job: it is a header.payload.signature of JSON.
        assert "eyJ" not in text, text[:2000]


def test_the_guides_first_snippet_runs_as_pasted(
    servers: Lab, consumer: Repository, commands: Path
) -> None:
    guide = (ROOT / "docs" / "external-projects.md").read_text()
    blocks = [
        "\n".join(line.removeprefix("    ") for line in block.splitlines())
        for block in re.findall(r"(?m)^(?:    .*\n|\n(?=    ))+", guide)
    ]
    snippet = next(block for block in blocks if block.lstrip().startswith("include:"))
    file = consumer.folder / ".gitlab-ci.yml"
    file.write_text(snippet + "\n")
    assert consumer.expanded()["test_db"]["image"]["name"] == "postgres:18-alpine"
    code, output = run(servers, consumer, commands)
    assert code == 0, output
    assert "(1 row)" in output


def test_another_project_cannot_take_over_the_names(
    servers: Lab, consumer: Repository, commands: Path
) -> None:
    assert run(servers, consumer, commands, "datalab-postgres")[0] == 0
    code, output = run(servers, consumer, commands, "datalab-postgres", project=43)
    assert code != 0
    assert "role my_project_user belongs to project 42" in output  # the lab's log, in the caller's
    code, output = run(servers, consumer, commands, "test_db", project=43)
    assert code != 0
    assert "no record postgres/my_project_db for this project" in output


def test_the_projects_own_defaults_do_not_reach_the_job_that_asks(
    servers: Lab, consumer: Repository, commands: Path
) -> None:
    file = consumer.folder / ".gitlab-ci.yml"
    text = file.read_text()
    assert text.count("default:\n") == 1
    defaults = "default:\n  tags: [theirs]\n  before_script: [exit 9]\n  after_script: [exit 9]\n"
    file.write_text(text.replace("default:\n", defaults) + "\ntheirs:\n  script: ['true']\n")
    code, output = run(servers, consumer, commands, "datalab-postgres")
    assert code == 0, output
    assert run(servers, consumer, commands, "theirs")[0] != 0, "the defaults are none"


@pytest.mark.parametrize("wait", [None, 10_000])
def test_the_job_lasts_longer_than_it_waits(consumer: Repository, wait: int | None) -> None:
    """GitLab ends a job after an hour by default, and a model takes two."""
    file = consumer.folder / ".gitlab-ci.yml"
    if wait:
        model = 'inputs: { model: "smollm2:135m"'
        assert model in file.read_text()
        file.write_text(file.read_text().replace(model, f"{model}, timeout: {wait}"))
    jobs = consumer.expanded()
    for kind, waits in {"postgres": 1800, "kafka": 1800, "ollama": wait or 7200}.items():
        job = jobs[f"datalab-{kind}"]
        assert f'--timeout "{waits}"' in str(job["script"])
        # As ChronicDuration reads it, which adds up numbers with their units.
        units = {"seconds": 1, "minutes": 60}
        words = job["timeout"].split()
        lasts = sum(
            int(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True)
        )
        assert lasts == waits + 600


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("db_name", "a; DROP DATABASE x"),
        ("db_name", "$(id)"),
        ("db_user", "A"),
        ("db_user", "a" * 64),
        ("model", "../../x"),
        ("topic", "__consumer_offsets"),
        ("partitions", "many"),
    ],
)
def test_bad_inputs_are_refused_before_there_is_a_job(
    servers: Lab, consumer: Repository, name: str, value: str
) -> None:
    file = consumer.folder / ".gitlab-ci.yml"
    lines = file.read_text()
    kept, _, rest = lines.partition(f"{name}: ")
    old = rest.split(",")[0].split(" }")[0]
    file.write_text(f'{kept}{name}: "{value}"{rest.removeprefix(old)}')
    with pytest.raises(ValueError, match=f"`{name}` input"):
        consumer.jobs({"CI_PIPELINE_SOURCE": "push"})
