"""`./lab status`: what it makes of what engine, node and machines say."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cli.commands import status
from cli.commands.status import after_up, collect, ends, hosts, services
from cli.commands.status.report import Report, Row, ago
from cli.lib import backend, containers, http, remote
from cli.lib.fault import Fault
from layers import LAYERS
from settings.containers import LAYER_LABEL, SERVICE_LABEL
from settings.docker_engine import Named
from tests.cli.conftest import Checkout
from tests.harness.deploy import settings_of
from toolchain import obtain, pulumi_cli

DIGEST = "sha256:" + "ab" * 32
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("image", "reference", "same"),
    [
        (containers.Image(digests=(DIGEST,)), f"docker.io/library/nginx:1.30.5@{DIGEST}", True),
        # A tag may have been moved, a digest cannot.
        (
            containers.Image(digests=("sha256:" + "00" * 32,), tags=("nginx:1.30.5",)),
            f"docker.io/library/nginx:1.30.5@{DIGEST}",
            False,
        ),
        (containers.Image(tags=("nginx:1.30.5",)), "docker.io/library/nginx:1.30.5", True),
        (containers.Image(tags=("apache/kafka:4.1.2",)), "docker.io/apache/kafka:4.1.2", True),
        (
            containers.Image(tags=("nginx:1.30.4",)),
            f"docker.io/library/nginx:1.30.5@{DIGEST}",
            False,
        ),
        (containers.Image(id="sha256:0123"), "docker.io/library/nginx:1.30.5", None),
    ],
)
def test_what_runs_is_compared_by_digest_else_by_tag(
    image: containers.Image, reference: str, same: bool | None
) -> None:
    assert image.is_(reference) is same


@pytest.mark.parametrize(
    ("state", "restarts", "told"),
    [
        ({"Status": "running", "Health": {"Status": "healthy"}}, 3, ("healthy", "")),
        ({"Status": "running"}, 0, ("running", "")),
        ({"Status": "running", "Health": {"Status": "starting"}}, 0, ("starting", "")),
        # Between two restarts it runs for a moment.
        ({"Status": "running", "Health": {"Status": "starting"}}, 2, ("restarting", "exit code 3")),
        ({"Status": "restarting"}, 2, ("restarting", "exit code 3")),
        ({"Status": "exited"}, 0, ("stopped", "exit code 3")),
        (
            {"Status": "exited", "OOMKilled": True},
            0,
            ("stopped", "it needed more memory than its limit"),
        ),
        ({"Status": "paused"}, 0, ("paused", "")),
        (
            {
                "Status": "running",
                "Health": {
                    "Status": "unhealthy",
                    "Log": [{"Output": "first\n"}, {"Output": "no!\n\n"}],
                },
            },
            0,
            ("unhealthy", "no!"),
        ),
        ({"Status": "running", "Health": {"Status": "unhealthy"}}, 0, ("unhealthy", "")),
    ],
)
def test_a_containers_state_in_a_word(
    state: dict[str, Any], restarts: int, told: tuple[str, str]
) -> None:
    assert containers.judged({"ExitCode": 3, **state}, restarts) == told


Answers = dict[str, Any]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Path -> what an engine's API answers there; 404 for every other one."""
    answers: Answers = {}

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        return httpx.Response(200, json=answers[path]) if path in answers else httpx.Response(404)

    plain = http.client

    def client(**options: Any) -> httpx.Client:
        return plain(**{**options, "transport": httpx.MockTransport(answer)})

    monkeypatch.setattr(http, "client", client)
    return answers


def container(answers: Answers, name: str, **more: Any) -> None:
    labels = {SERVICE_LABEL: name.removeprefix("datalab-"), LAYER_LABEL: "services"}
    row = {"Id": name, "Names": [f"/{name}"], "Labels": labels, "ImageID": "sha256:1"}
    answers.setdefault("/containers/json", []).append(row)
    answers["/images/sha256:1/json"] = {"RepoTags": ["nginx:1.30.5"], "Config": None}
    answers[f"/containers/{name}/stats"] = {
        "memory_stats": {"usage": 300, "stats": {"inactive_file": 100}}
    }
    answers[f"/containers/{name}/json"] = {
        "Name": f"/{name}",
        "RestartCount": 0,
        "Config": {"Labels": labels},
        "HostConfig": {"Memory": 1000},
        "State": {
            "Status": "running",
            "Running": True,
            "Restarting": False,
            "ExitCode": 0,
            "StartedAt": "2026-11-30T11:00:00.123456789Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "healthy"},
            **more,
        },
    }


ENGINE = Named(host="unix:///engine.sock", source="DOCKER_HOST")


def test_memory_is_counted_as_docker_does_and_times_are_read(engine: Answers) -> None:
    container(engine, "datalab-gateway")
    found = containers.look(ENGINE, {"datalab-gateway"})["datalab-gateway"]
    assert (found.memory, found.limit) == (200, 1000)
    assert found.since == datetime(2026, 11, 30, 11, 0, 0, 123456, tzinfo=UTC)
    assert found.image.version() == "1.30.5"


def test_others_containers_are_none_of_the_labs(engine: Answers) -> None:
    container(engine, "somebody-elses")
    engine["/containers/json"][0]["Labels"] = {}
    assert containers.look(ENGINE, {"datalab-gateway"}) == {}


def test_a_container_that_goes_while_it_is_asked_about_is_missing(engine: Answers) -> None:
    container(engine, "datalab-gateway")
    del engine["/containers/datalab-gateway/json"]
    assert containers.look(ENGINE, {"datalab-gateway"}) == {}


def test_one_that_ends_while_its_memory_is_asked_for_is_there(engine: Answers) -> None:
    container(engine, "datalab-gateway")
    del engine["/containers/datalab-gateway/stats"]
    found = containers.look(ENGINE, {"datalab-gateway"})["datalab-gateway"]
    assert (found.state, found.memory) == ("healthy", None)


def test_an_engine_that_does_not_answer_is_named(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{checkout.fake}/none.sock")
    assert checkout.lab("status", "dev", "--json") == 1
    told = json.loads(capsys.readouterr().out)["dev"]
    assert len(told["unreached"]) == 1
    assert f"unix://{checkout.fake}/none.sock (DOCKER_HOST)" in told["unreached"][0]
    assert {row["state"] for row in told["services"]} == {"not known"}
    assert told["problems"] == []
    assert checkout.calls == []  # no Pulumi, and so no passphrase


def test_without_an_environment_those_that_are_set_up(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{checkout.fake}/none.sock")
    assert checkout.lab("status") == 1
    assert "nothing is set up in this checkout: ./lab init dev" in capsys.readouterr().err
    (checkout.root / ".state/dev").mkdir(parents=True)
    assert checkout.lab("status") == 1
    assert "Services of dev" in capsys.readouterr().out
    (checkout.root / ".state/lab").mkdir(parents=True)
    assert checkout.lab("logs", "kafka") == 2
    assert "which environment? dev and lab are set up here" in capsys.readouterr().err


def test_watch_is_for_people(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkout.lab("status", "dev", "--watch", "--json") == 2
    assert "choose one" in capsys.readouterr().err


def test_faults_of_the_settings_are_said_as_everywhere(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout.root / "Pulumi.dev.yaml").write_text("config: {datalab:common: {domian: x.lan}}\n")
    assert checkout.lab("status", "dev") == 2
    assert "domian" in capsys.readouterr().err


def test_the_lab_without_its_passphrase_says_what_it_could_not_ask(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(services, "_answers", lambda *_: "")
    monkeypatch.setattr(ends, "_end", lambda _: NOW + timedelta(days=365))
    monkeypatch.setattr(pulumi_cli, "find_pulumi", obtain.ensure_pulumi)
    assert checkout.lab("status", "lab", "--json") == 1
    told = json.loads(capsys.readouterr().out)["lab"]
    assert "the passphrase of lab is not set" in told["unreached"][0]
    assert "containers and machines" in told["unreached"][1]
    rows = {row["service"]: row for row in told["services"]}
    assert [rows[name]["state"] for name in ("vault", "gitlab")] == ["answers"] * 2
    assert rows["kafka"]["state"] == "not known"
    assert rows["vault"]["wanted"] == "1.21.4"


def test_exit_codes() -> None:
    well = Row(layer="services", service="kafka", state="healthy")
    ill = Row(layer="services", service="kafka", state="stopped", problem="is stopped")
    assert Report(env="dev", start_page="", services=[well]).code == 0
    assert Report(env="dev", start_page="", services=[ill]).code == 7
    assert Report(env="dev", start_page="", services=[ill], unreached=["x"]).code == 1


def test_what_starts_is_waited_for_and_no_problem(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def engine(_: Named, names: set[str]) -> dict[str, containers.Container]:
        found = {
            name: containers.Container(name=name, layer="services", state="healthy")
            for name in names
        }
        return found | {"datalab-kafka": replace(found["datalab-kafka"], state="starting")}

    monkeypatch.setattr(containers, "look", engine)
    assert checkout.lab("status", "dev") == 0
    assert "Still starting: kafka." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "said"),
    [(12, "12 s"), (59 * 60, "59 min"), (3600 * 47, "1 d"), (3600 * 23, "23 h"), (-5, "0 s")],
)
def test_how_long_ago(before: int, said: str) -> None:
    assert ago(NOW - timedelta(seconds=before), NOW) == said
    assert ago(None) == "-"


def seconds(moment: datetime) -> str:
    return f"@{int(moment.timestamp())}"


@pytest.mark.parametrize(
    ("ended", "armed", "result", "problem"),
    [
        (NOW - timedelta(hours=9), NOW - timedelta(days=9), "success", ""),
        (NOW - timedelta(hours=27), NOW - timedelta(days=9), "success", "is older than 26 h"),
        (NOW - timedelta(hours=9), NOW - timedelta(days=9), "exit-code", "failed (exit-code)"),
        (None, NOW - timedelta(hours=3), "success", ""),  # its first night is still to come
        (None, NOW - timedelta(days=3), "success", "is older than 26 h"),
    ],
)
def test_a_backup_that_failed_or_did_not_come_is_a_problem(
    ended: datetime | None, armed: datetime, result: str, problem: str
) -> None:
    told = (
        f"Result={result}\nExecMainExitTimestamp={seconds(ended) if ended else ''}\n"
        f"ActiveEnterTimestamp={seconds(armed)}\n"
    )
    found = hosts.backup("vault", told, NOW)
    assert found.ended == ended
    assert found.problem.startswith(problem)
    assert bool(found.problem) is bool(problem)


def test_what_ends_soon_is_named_with_what_renews_it() -> None:
    later = datetime.now(UTC) + timedelta(days=100)
    soon = datetime.now(UTC) + timedelta(days=5)
    found = {
        end.what: end.problem
        for end in ends.tokens("lab", settings_of("lab"), {"datalab-a": later, "datalab-b": soon})
    }
    assert found["GitLab's token datalab-a"] == ""
    assert found["GitLab's token datalab-b"] == f"ends on {soon:%Y-%m-%d}: ./lab up lab renews it"


def secret(value: Any) -> dict[str, str]:
    return {"4dabf18193072939515e22adb298388d": "x", "plaintext": json.dumps(value)}


def test_the_state_says_how_to_reach_what_is_on_a_node() -> None:
    job = {"host": "vault", "address": "192.168.1.102", "port": 22, "user": "root"}
    command = {"create": "x ansible/machine.yml", "stdin": secret(json.dumps(job))}
    found = remote.of_resources(
        [
            {"type": "pulumi:pulumi:Stack", "urn": "urn::lab"},
            {"type": remote.PROXMOX, "urn": "urn::p", "inputs": {"apiToken": secret("a@pam!b=c")}},
            {
                "type": remote.DOCKER,
                "urn": "urn::d",
                "inputs": {"host": "tcp://192.168.1.202:2376"},
            },
            {"type": "command:local:Command", "urn": "urn::vault-roles", "inputs": command},
            {
                "type": remote.TOKENS,
                "urn": "urn::t",
                "outputs": {"name": "datalab-notes", "expiresAt": "2027-05-29"},
            },
        ]
    )
    assert found.token == "a@pam!b=c"
    assert found.docker == {"host": "tcp://192.168.1.202:2376"}
    assert found.jobs == {"192.168.1.102": job}
    assert found.expiries == {"datalab-notes": datetime(2027, 5, 29, tzinfo=UTC)}


def test_before_there_is_a_docker_host_that_is_said() -> None:
    empty = remote.of_resources([])
    with pytest.raises(Fault, match="no Docker host yet"), empty.engine():
        pass


def test_open_prints_the_address_where_there_is_no_browser(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import webbrowser

    def none(*_: object) -> None:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "get", none)
    assert checkout.lab("open", "mlflow", "dev") == 0
    assert capsys.readouterr().out == "http://localhost:5000\n"
    assert checkout.lab("open", "kafka", "dev") == 1
    assert "kafka has no pages; programs call it at kafka://localhost" in capsys.readouterr().err
    assert checkout.lab("open", "mlfow", "dev") == 2
    assert "did you mean mlflow?" in capsys.readouterr().err


def test_open_opens_the_page(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class Browser:
        open: Callable[[str], None] = opened.append

    import webbrowser

    monkeypatch.setattr(webbrowser, "get", Browser)
    assert checkout.lab("open", "gateway", "dev") == 0
    assert opened == ["https://localhost:8443"]


def test_up_ends_with_the_short_form(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{checkout.fake}/none.sock")
    monkeypatch.setattr(status, "after_up", after_up)
    stacks = {f"dev-{layer}": [{"urn": layer, "type": "t", "inputs": {}}] for layer in LAYERS}
    (checkout.fake / "state.json").write_text(json.dumps({backend.url("dev"): stacks}))
    assert checkout.lab("up", "dev", "apps", "--yes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Start page: https://localhost:8443"
    assert lines[-2].startswith("- could not ask the Docker engine at unix://")


def test_on_a_node_containers_are_those_of_the_docker_vm(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Named] = []

    def engine(named: Named, names: set[str]) -> dict[str, containers.Container]:
        asked.append(named)
        assert named.certificates is not None
        assert (named.certificates / "key.pem").read_text() == "a key"
        kafka = containers.Container(name="datalab-kafka", layer="services", state="healthy")
        return {"datalab-kafka": kafka}

    access = {"host": "tcp://192.168.1.202:2376", "caMaterial": "a CA", "keyMaterial": "a key"}
    there = remote.Remote(jobs={}, docker=access, token="", expiries={})
    monkeypatch.setattr(collect, "read", lambda *_: there)
    monkeypatch.setattr(containers, "look", engine)
    monkeypatch.setattr(hosts, "add", lambda *_: None)
    monkeypatch.setattr(services, "_answers", lambda where, _: "timed out")
    monkeypatch.setattr(ends, "_end", lambda _: None)
    assert checkout.lab("status", "lab", "--json") == 7
    told = json.loads(capsys.readouterr().out)["lab"]
    rows = {row["service"]: row for row in told["services"]}
    assert [named.host for named in asked] == ["tcp://192.168.1.202:2376"]
    assert rows["kafka"]["state"] == "healthy"
    assert rows["mlflow"]["problem"] == "is missing: ./lab up lab makes it"
    assert rows["vault"]["problem"] == "does not answer at 192.168.1.102: timed out"


def test_watch_ends_with_ctrl_c(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("DOCKER_HOST", f"unix://{checkout.fake}/none.sock")
    monkeypatch.setattr("cli.commands.status.time.sleep", interrupt)
    assert checkout.lab("status", "dev", "--watch") == 0


def test_the_last_look_for_drift_is_remembered(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stacks = {f"dev-{layer}": [{"urn": layer, "type": "t", "inputs": {}}] for layer in LAYERS}
    (checkout.fake / "state.json").write_text(json.dumps({backend.url("dev"): stacks}))
    assert checkout.lab("drift", "dev") == 0
    monkeypatch.setenv("DOCKER_HOST", f"unix://{checkout.fake}/none.sock")
    capsys.readouterr()
    checkout.lab("status", "dev", "--json")
    told = json.loads(capsys.readouterr().out)["dev"]["drift"]
    assert told["code"] == 0
    assert datetime.now(UTC) - datetime.fromisoformat(told["at"]) < timedelta(minutes=1)
