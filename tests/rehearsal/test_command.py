"""`./lab rehearse`, as a person or a CI job runs it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rehearsal import folder, steps
from settings import load_file
from settings.names import endpoints

ROOT = Path(__file__).parent.parent.parent


def rehearse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with temporary folders of its own."""
    return subprocess.run(
        ["./lab", "rehearse", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.engine
def test_a_refusal_and_a_kill_are_recovered_from_and_nothing_stays(tmp_path: Path) -> None:
    before = subprocess.run(["git", "status", "--short", "--ignored"], cwd=ROOT, check=True,
                            capture_output=True).stdout  # fmt: skip
    done = rehearse(
        tmp_path, "dev", "--layer", "foundation", "--fail", "Container=vault-container",
        "--kill-at", "12", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [layer["layer"] for layer in shown["layers"]] == ["foundation"]
    assert shown["layers"][0]["resources"] > 50
    assert shown["layers"][0]["down_s"] > 0
    assert {"datalab-store", "datalab-vault"} <= {row["container"] for row in shown["containers"]}
    settings = load_file(ROOT / "Pulumi.dev.yaml")
    assert shown["urls"]["Vault"] == endpoints(settings)["vault"].url
    killed, refused = shown["recovered"]
    assert "killed after call 12" in killed
    assert "refused on demand" in refused
    assert list(tmp_path.iterdir()) == []
    after = subprocess.run(["git", "status", "--short", "--ignored"], cwd=ROOT, check=True,
                           capture_output=True).stdout  # fmt: skip
    assert {line for line in after.splitlines() if b".state" in line} == {
        line for line in before.splitlines() if b".state" in line
    }


@pytest.mark.engine
def test_a_token_that_falls_due_is_renewed_in_place(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "lab", "--layer", "services", "--json")
    assert done.returncode == 0, done.stderr
    (renewed,) = json.loads(done.stdout)["renewed"]
    assert re.match(r"services, after \d+ days: .*ProjectAccessToken=", renewed)


@pytest.mark.engine
def test_what_is_kept_can_be_looked_at(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "dev", "--layer", "foundation", "--keep")
    assert done.returncode == 0, done.stderr
    assert "Hosts" in done.stdout
    assert "left nothing behind" not in done.stdout
    assert "--layer stopped there: the layers above foundation were not rehearsed" in done.stdout
    folder = next(tmp_path.iterdir())
    enter, look, preview = re.findall(r"^  (cd .*|pulumi .*)$", done.stderr, re.MULTILINE)

    def run(line: str) -> str:
        words = ["sh", "-c", f"{enter} && {line}"]
        shown = subprocess.run(words, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr + shown.stdout
        return shown.stdout

    assert "minio:index/s3Bucket:S3Bucket" in run(look)
    assert json.loads((folder / "world.json").read_text())["items"]
    file = folder / "Pulumi.dev.yaml"
    config = yaml.safe_load(file.read_text())
    vault = config["config"].setdefault("datalab:foundation", {}).setdefault("vault", {})
    vault["container"] = {"memory_mib": 641}
    file.write_text(json.dumps(config))
    command, _, _ = preview.partition("  #")
    shown = json.loads(run(f"{command} --json 2>/dev/null"))
    assert shown["changeSummary"]["update"] == 1
    assert len(shown["changeSummary"]) == 2, "the others are as they were"
    assert list(processes(tmp_path)) == []


@pytest.mark.engine
def test_a_resource_that_is_not_made_is_named_before_it_starts(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "dev", "--layer", "foundation", "--fail", "Container=vault")
    assert done.returncode == 2
    assert "Container=vault: nothing of that type and name is made; " in done.stderr
    assert "did you mean Container=vault-container?" in done.stderr
    assert "nothing left to do" not in done.stderr, "it did not start"
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engine
def test_a_failed_rehearsal_leaves_nothing_and_says_how_to_see_more(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "dev", "--layer", "foundation", "--kill-at", "100000")
    assert done.returncode == 1
    assert "the engine was not killed by any of" in done.stderr
    assert "--keep leaves the state" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.engine
def test_what_a_killed_rehearsal_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _ = under_way(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder.sweep()
    assert [path.name.startswith(folder.NAME) for path in tmp_path.iterdir()] == [True], "at work"
    process.kill()
    process.wait()
    folder.sweep()
    assert list(tmp_path.iterdir()) == []
    assert list(processes(tmp_path)) == []


def under_way(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A rehearsal whose engine runs, and what it has said."""
    process = subprocess.Popen(
        ["./lab", "rehearse", "dev"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = ""
    while "coming up" not in said:
        line = process.stderr.readline()
        assert line, f"it ended before it began: {said}"
        said += line
    return process, said


def processes(folder: Path) -> Iterator[Path]:
    """Processes that have the path of a folder in their environment."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if str(folder).encode() in environment.read_bytes():
                yield environment


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    process, said = under_way(tmp_path)
    process.send_signal(number)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "run the same command again" not in said + rest, "there is nothing to go on with"
    assert "Traceback" not in said + rest
    assert list(tmp_path.iterdir()) == []
    assert list(processes(tmp_path)) == []


@pytest.mark.slow
def test_a_type_that_nothing_has_is_refused_at_once(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "dev", "--fail", "Contaner=nope")
    assert done.returncode == 2
    assert "no resource of the lab is of type Contaner; did you mean Container?" in done.stderr
    assert "making the stacks" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_word_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "dev", "--fail", "vault-container")
    assert done.returncode == 2
    assert "--fail takes TYPE=NAME" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_errors_are_read_from_events_that_were_cut_off(tmp_path: Path) -> None:
    lines = [
        json.dumps({"resourcePreEvent": {"metadata": {"op": "create"}}}),
        json.dumps(
            {
                "diagnosticEvent": {
                    "severity": "error",
                    "urn": "urn:pulumi:s::p::a:b:C$docker:index/volume:Volume::data",
                    "message": "No such volume\n",
                }
            }
        ),
        json.dumps({"diagnosticEvent": {"severity": "error", "message": "no stack"}}),
        json.dumps({"diagnosticEvent": {"severity": "warning", "message": "it is deprecated"}}),
        json.dumps({"diagnosticEvent": {"severity": "error", "message": "update failed"}}),
        '{"cut off',
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    assert list(steps.errors(file)) == [
        "data (docker:index/volume:Volume): No such volume",
        "no stack",
    ]
