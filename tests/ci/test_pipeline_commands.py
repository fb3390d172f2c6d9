"""`./lab ci` against GitLab's stand-in: note, stale notes, reviewed previews, gate, drift."""

import base64
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gitlab as python_gitlab
import pytest
import yaml

from cli.ci import images, note, probe, publish, run, tree
from cli.ci.forge import Forge
from cli.ci.gate import TOKEN as TOKEN_TYPE
from cli.ci.gate import refusals
from cli.commands.ci import CI_ACTIONS
from cli.lib import stacks
from cli.lib.fault import Fault
from cli.lib.plan import Plan, Step, reduce
from cli.lib.pulumi import DRIFTED, Engine
from settings import load_file
from settings.declarations import BY_KEY
from settings.images import PUSHED, pushed
from settings.stackfile import read_config
from targets.ansible import PLAYBOOK
from tests.harness.deploy import settings_of
from tests.harness.gitlab import ME, GitLab, Pipeline, gitlab
from tests.harness.pipelines import ROOT, git

pytestmark = pytest.mark.service

TOKEN, JOB = "glpat-writes-notes", "job-token"
UPDATED = Step("update", "docker:index/container:Container", "x", ("image",))
LOST = Step("delete", "docker:index/volume:Volume", "data", (), True)


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[GitLab]:
    with gitlab(tokens={TOKEN: "api", JOB: "job"}) as fake:
        for name, value in {
            "CI_SERVER_URL": fake.url,
            "CI_PROJECT_ID": str(fake.project_id),
            "CI_JOB_TOKEN": JOB,
            "GITLAB_TOKEN": TOKEN,
            "CI_MERGE_REQUEST_IID": "5",
            "CI_PIPELINE_ID": "9",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_COMMIT_SHA": "c" * 40,
            "CI_COMMIT_BRANCH": "main",
            "CI_PIPELINE_SOURCE": "push",
            "NO_PROXY": "*",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DATALAB_CA_FILE", raising=False)
        fake.pipelines[9] = Pipeline(9, {}, ["running"])
        monkeypatch.setattr(run, "OUT", tmp_path)
        monkeypatch.setattr(tree, "merge", lambda branch: git(ROOT, "rev-parse", "HEAD").strip())
        yield fake


def request(number: int, source: int = 1) -> dict[str, Any]:
    return {
        "iid": number,
        "state": "opened",
        "source_project_id": source,
        "target_project_id": 1,
    }


def writes(fake: GitLab) -> list[str]:
    return [f"{method} {path}" for method, path, _ in fake.requests if method != "GET"]


def test_the_note_is_posted_once_and_then_changed_in_place(forge: GitLab, tmp_path: Path) -> None:
    forge.merge_requests[5] = request(5)
    chat = [f"chat {n}" for n in range(45)]
    # Anybody can write our marker: it neither stands in for the note nor is written over.
    forged = f"{note.MARKER}\n### Preview\n\nNo layer is touched."
    others = {"id": 2, "username": "developer"}
    forge.notes[5] = {
        n: {"id": n, "body": body, "system": False, "author": others}
        for n, body in enumerate([*chat, forged])
    }
    Plan(layer="services", tree="t", steps=(UPDATED,)).write(tmp_path)
    assert run.post_note("lab") == 0
    ours = [n for n in forge.notes[5].values() if n["author"] == ME]
    assert len(ours) == 1
    assert "| services | 0 | **1** | 0 | 0 |" in ours[0]["body"]
    assert "| containers, MiB |" in ours[0]["body"]

    forge.requests.clear()
    assert run.post_note("lab") == 0
    assert writes(forge) == []  # nothing changed

    Plan(layer="services", tree="t", steps=(UPDATED, LOST)).write(tmp_path)
    assert run.post_note("lab") == 0
    assert len(writes(forge)) == 1
    again = [n for n in forge.notes[5].values() if n["author"] == ME]
    assert [n["id"] for n in again] == [ours[0]["id"]]
    assert forge.notes[5][45]["body"] == forged
    assert "Data is at stake" in again[0]["body"]


def test_a_failed_preview_is_in_the_note(forge: GitLab, tmp_path: Path) -> None:
    forge.merge_requests[5] = request(5)
    Plan(layer="apps", tree="t", failed=True).write(tmp_path)
    run.post_note("lab")
    assert "| apps | failed" in forge.notes[5][100]["body"]


@pytest.mark.parametrize("done", [(), ("services",)])
def test_a_layer_without_a_preview_is_not_called_untouched(
    forge: GitLab, tmp_path: Path, done: tuple[str, ...]
) -> None:
    """The check failed, so that no preview ran, or a job died before it left anything."""
    forge.merge_requests[5] = request(5)
    names = ("check", "preview:services", "preview:apps", "note")
    forge.pipelines[9].jobs += [{"id": n, "name": name} for n, name in enumerate(names)]
    for layer in done:
        Plan(layer=layer, tree="t").write(tmp_path)
    run.post_note("lab")
    text = forge.notes[5][100]["body"]
    missing = [layer for layer in ("services", "apps") if f"| {layer} | not previewed" in text]
    assert missing == [layer for layer in ("services", "apps") if layer not in done]
    assert "No layer is touched" not in text


def test_main_moves_on(forge: GitLab) -> None:
    forge.merge_requests = {5: request(5), 6: request(6, source=77), 7: request(7)}
    run.post_note("lab")
    assert run.refresh_notes() == 0
    assert note.STALE in forge.notes[5][100]["body"]
    fork = forge.notes[6][100]["body"]
    assert "rehearsed" in fork
    assert fork.startswith(note.MARKER)
    assert 7 not in forge.notes  # no preview, no note
    forge.requests.clear()
    assert run.refresh_notes() == 0
    assert writes(forge) == []


def test_reviewed_plans_are_kept_by_tree_and_layer(forge: GitLab) -> None:
    kept = Plan(layer="services", tree="a" * 40, steps=(UPDATED,))
    Forge().keep(kept)
    assert Forge().reviewed("a" * 40, "services") == kept
    assert Forge().reviewed("a" * 40, "apps") is None
    assert Forge().reviewed("b" * 40, "services") is None


@pytest.mark.parametrize(
    ("now", "reviewed", "below", "source", "refused"),
    [
        ((UPDATED,), (UPDATED,), (), "push", ""),
        ((), None, (), "push", ""),
        ((UPDATED,), None, (), "push", "no merge request previewed"),
        ((UPDATED, LOST), (UPDATED,), (UPDATED,), "push", "loses data"),
        ((UPDATED,), (), (UPDATED,), "push", ""),
        ((UPDATED,), None, (), "web", ""),
        ((LOST,), None, (), "web", "loses data"),
        ((UPDATED,), None, (), "schedule", "no merge request previewed"),
        ((), (UPDATED,), (), "push", ""),
    ],
)
def test_a_deployment_does_what_was_reviewed(  # noqa: PLR0917
    forge: GitLab,
    monkeypatch: pytest.MonkeyPatch,
    now: tuple[Step, ...],
    reviewed: tuple[Step, ...] | None,
    below: tuple[Step, ...],
    source: str,
    refused: str,
) -> None:
    files, done = tree.current(), []
    monkeypatch.setenv("CI_PIPELINE_SOURCE", source)
    if reviewed is not None:
        Forge().keep(Plan(layer="services", tree=files, steps=reviewed))
    Forge().keep(Plan(layer="platform", tree=files, steps=below))
    monkeypatch.setattr(run, "_engine", lambda env: None)
    monkeypatch.setattr(
        run,
        "_preview",
        lambda engine, env, layer: (
            0,
            Plan(layer=layer, tree=files, steps=now if layer == "services" else ()),
        ),
    )

    def up(env: str, layer: str, *, yes: bool) -> int:
        assert yes
        done.append(layer)
        return 0

    def probed(engine: object, stack: str) -> int:
        done.append("probed")
        return 0

    monkeypatch.setattr(stacks, "up", up)
    monkeypatch.setattr(probe, "probe", probed)
    if refused:
        with pytest.raises(Fault, match=refused):
            run.deploy("lab", "services")
        assert done == []
    else:
        assert run.deploy("lab", "services") == 0
        assert done == (["services"] if now else []) + ["probed"]


@pytest.mark.parametrize(
    ("layer", "below", "code", "refused"),
    [
        ("services", {"platform": (UPDATED,)}, 0, r"Run \./lab up lab platform from outside"),
        ("apps", {"services": (UPDATED,)}, 0, r"Run \./lab up lab services from outside"),
        ("services", {"apps": (UPDATED,)}, 0, ""),
        ("apps", {"services": (Step("update", TOKEN_TYPE, "gitlab-notes", ("token",)),)}, 0, ""),
        ("services", {}, 1, "the preview of foundation below it failed"),
    ],
)
def test_nothing_is_deployed_on_lower_layers_that_wait(  # noqa: PLR0917
    forge: GitLab,
    monkeypatch: pytest.MonkeyPatch,
    layer: str,
    below: dict[str, tuple[Step, ...]],
    code: int,
    refused: str,
) -> None:
    monkeypatch.setattr(run, "_engine", lambda env: None)
    monkeypatch.setattr(
        run,
        "_preview",
        lambda engine, env, name: (
            code,
            Plan(layer=name, tree="t", steps=() if name == layer else below.get(name, ())),
        ),
    )
    monkeypatch.setattr(probe, "probe", lambda engine, stack: 0)
    if refused:
        with pytest.raises(Fault, match=refused):
            run.deploy("lab", layer)
    else:
        assert run.deploy("lab", layer) == 0


@pytest.mark.parametrize(("steps", "code"), [((UPDATED,), 7), ((), 0)])
def test_lower_layers_wait_for_a_person(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    steps: tuple[Step, ...],
    code: int,
) -> None:
    plan = Plan(layer="foundation", tree="t", steps=steps)
    monkeypatch.setattr(run, "_engine", lambda env: None)
    monkeypatch.setattr(run, "_preview", lambda engine, env, layer: (0, plan))
    assert run.pending("lab", "foundation") == code
    assert ("./lab up lab foundation" in capsys.readouterr().out) == bool(steps)


@pytest.mark.parametrize("code", [0, 1])
def test_a_preview_is_kept_for_the_gate_only_when_it_worked(
    forge: GitLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    plan = Plan(layer="apps", tree="e" * 40, steps=(UPDATED,), failed=bool(code))
    monkeypatch.setattr(run, "_engine", lambda env: None)
    monkeypatch.setattr(run, "_preview", lambda engine, env, layer: (code, plan))
    assert run.preview("lab", "apps") == code
    assert (Forge().reviewed("e" * 40, "apps") is None) == bool(code)
    assert json.loads((tmp_path / "apps.report.json").read_text()) == {
        "create": 0,
        "update": 1,
        "delete": 0,
    }


def test_pipelines_run_every_action_and_no_other() -> None:
    text = (ROOT / ".ci/deploy.yml").read_text() + (ROOT / ".ci/images.yml").read_text()
    assert set(re.findall(r"\./lab ci (\w+)", text)) == set(CI_ACTIONS)


def test_drift_is_one_issue_from_its_first_day_to_its_last(
    forge: GitLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, tuple[Step, ...]] = {"services": (UPDATED,)}
    theirs = {"iid": 1, "state": "opened", "labels": ["datalab-drift"], "author": {"id": 2}}
    forge.issues[1] = dict(theirs)
    monkeypatch.setattr(run, "_engine", lambda env: None)

    def seen(engine: object, env: str, layer: str, *options: str) -> tuple[int, Plan]:
        assert options == ("--refresh", "--expect-no-changes")
        steps = found.get(layer, ())
        return (DRIFTED if steps else 0), Plan(layer=layer, tree="t", steps=steps)

    monkeypatch.setattr(run, "_preview", seen)
    monkeypatch.setattr(run, "runs", lambda engine, stack: ())
    for _ in range(2):
        assert run.drift("lab") == 0
    assert len(forge.issues) == 2
    assert "- services: update `x` (Container): image" in forge.issues[2]["description"]
    found["apps"] = (LOST,)
    run.drift("lab")
    assert "- apps: delete `data`" in forge.issues[2]["description"]
    found.clear()
    run.drift("lab")
    assert forge.issues[2]["state"] == "closed"
    found["apps"] = (LOST,)
    run.drift("lab")
    assert [issue["state"] for issue in forge.issues.values()] == ["opened", "closed", "opened"]
    assert forge.issues[1] == theirs


ANSIBLE = """#!/bin/sh
grep -o '"host": "[a-z]*"' >"$0.host"
case "$*" in *--diff*) echo "+password: $SECRET" ;; esac
echo "$*" >>"$0.calls"
case "$(cat "$0.host")" in
    *store*) echo "changed: [store] => $SECRET"
        echo "DIFFERS machine store, role common, task 'Write the hosts'" ;;
    *vault*) echo "FAILED machine vault, playbook machine.yml, task 'Look': no answer" >&2
        exit 4 ;;
esac
"""


def test_drift_names_what_differs_inside_of_machines(
    forge: GitLab,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """By machine, role and task; no value gets into the issue or the job's log."""
    program = tmp_path / PLAYBOOK.split()[0]
    program.parent.mkdir(parents=True)
    program.write_text(ANSIBLE)
    program.chmod(0o755)
    monkeypatch.setenv("SECRET", "correct-horse")
    names = ["store", "cache"]

    def state(engine: Engine, *words: str, timeout_s: float | None = None) -> str:
        if words[-1] != "lab-foundation":
            return json.dumps({"deployment": {}})
        job = {name: json.dumps({"host": name, "private_key": "correct-horse"}) for name in names}
        resources = [
            {
                "urn": f"urn:pulumi:lab-foundation::datalab::command:local:Command::{name}-roles",
                "inputs": {"create": PLAYBOOK, "stdin": {"plaintext": json.dumps(job[name])}},
            }
            for name in names
        ]
        return json.dumps({"deployment": {"resources": resources}})

    monkeypatch.setattr(Engine, "capture", state)
    monkeypatch.setattr(run, "_engine", lambda env: Engine(folder=tmp_path, variables={}))
    monkeypatch.setattr(
        run, "_preview", lambda engine, env, layer, *_: (0, Plan(layer=layer, tree="t"))
    )
    assert run.drift("lab") == 0
    text = forge.issues[1]["description"]
    assert "- foundation: machine store, role common, task 'Write the hosts'" in text
    assert "cache" not in text

    names.append("vault")
    assert run.drift("lab") == 1
    text = forge.issues[1]["description"]
    assert "- foundation: machine store, role common, task 'Write the hosts'" in text
    assert "- foundation: vault-roles could not be compared, see the job's log" in text
    said = capfd.readouterr()
    assert "machine vault, playbook machine.yml, task 'Look': no answer" in said.err
    assert "correct-horse" not in said.out + said.err + text
    calls = program.with_name(f"{program.name}.calls").read_text().splitlines()
    assert len(calls) == 5
    assert all("--check" in call for call in calls)

    def unreadable(engine: Engine, *words: str, timeout_s: float | None = None) -> str:
        raise Fault("pulumi stack export: incorrect passphrase")

    monkeypatch.setattr(Engine, "capture", unreadable)
    assert run.drift("lab") == 1
    assert "- apps: its state cannot be read" in forge.issues[1]["description"]


def test_a_forks_code_never_runs_with_the_projects_rights(forge: GitLab) -> None:
    publish.keep_forks_out(forge.url, TOKEN, "1", None)
    assert forge.settings == {"ci_allow_fork_pipelines_to_run_in_parent_project": False}
    # The stand-in checks requests against GitLab's own description.
    server = python_gitlab.Gitlab(forge.url, private_token=TOKEN)
    with pytest.raises(python_gitlab.GitlabError, match="refuses"):
        server.projects.update(1, {"public_jobs": "perhaps"})
    with pytest.raises(Fault, match="GitLab failed: 401"):
        publish.keep_forks_out(forge.url, "wrong", "1", None)


def test_gitlab_that_is_down_is_a_fault(forge: GitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitlab.utils.time.sleep", lambda seconds: None)  # its retries take 100 s
    monkeypatch.setenv("CI_SERVER_URL", "http://127.0.0.1:9")
    with pytest.raises(Fault, match="GitLab failed"):
        Forge().reviewed("a" * 40, "apps")
    monkeypatch.delenv("CI_JOB_TOKEN")
    with pytest.raises(Fault, match="CI_JOB_TOKEN is not set"):
        Forge()


def test_what_was_deployed_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    named = ("services.mlflow", "apps.model_server")
    pages = [BY_KEY[key].listeners[0].page for key in named]

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ok = self.path in pages
            self.send_response(200 if ok else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}"
    outputs = {
        "mlflow": {"url": url, "inner_url": "http://mlflow:5000"},
        "urls": {"model-server": f"{url}/"},
        "postgresql": {"host": "127.0.0.1", "port": web.server_port},
        "kafka": {"bootstrap": f"127.0.0.1:{web.server_port}"},
        "gitlab_project": {"id": "1"},
    }
    checks = probe.targets(outputs)
    assert set(checks) == {"mlflow", "model-server", "postgresql", "kafka"}
    assert all(probe._passes(name, check) for name, check in checks.items())
    broken = probe.targets({"ollama": {"url": url}, "kafka": {"bootstrap": "127.0.0.1:9"}})
    assert not any(probe._passes(name, check) for name, check in broken.items())
    monkeypatch.setattr(probe, "PATIENCE_S", 0)
    with pytest.raises(Fault, match="no answer after 0 s: ollama"):
        probe.probe(Outputs({"ollama": {"url": url}}), "lab-services")  # type: ignore[arg-type]
    web.shutdown()
    web.server_close()


class Outputs:
    """An engine that only knows a stack's outputs."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def outputs(self, stack: str) -> dict[str, Any]:
        return self.found


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("layer", ["abc/layer.tar", "blobs/sha256/abc"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"nothing to see", False),
        (b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * 64, True),
        (b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 64, True),
        (b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64, False),
        (b"\x7fELF\0-----BEGIN PRIVATE KEY-----\n" + b"A" * 64, False),  # libgnutls' own tests
        (b"\x7fELF\0 the-job-s-own-password", True),
        (b"x=glpat-abcdefghij0123456789", True),
        (b"hvs.CAESIabcdefghij0123456789", True),
        (b"the-job-s-own-password", True),
    ],
)
def test_images_are_searched_file_by_file(layer: str, content: bytes, found: bool) -> None:
    inner = archive({"etc/a": b"fine", "root/.x": content, "etc/b": b"fine"})
    outer = archive({"manifest.json": b"[]", layer: inner})
    names = list(images.scan_archive(io.BytesIO(outer), [b"the-job-s-own-password"]))
    assert names == (["root/.x"] if found else [])


def test_a_packages_example_of_a_key_is_no_secret_but_the_jobs_own_is_one() -> None:
    """The deployer was never pushed: pulumi_vault has a private key in its documentation."""
    place = "opt/datalab/venv/lib/python3.12/site-packages/pulumi_vault/it.py"
    example = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * 64
    for content, found in ((example, []), (b"the-job-s-own-password", [place])):
        image = archive({"abc/layer.tar": archive({place: content})})
        names = images.scan_archive(io.BytesIO(image), [b"the-job-s-own-password"])
        assert list(names) == found


def test_every_image_of_the_lab_is_built() -> None:
    dockerfiles = {
        place.relative_to(ROOT).as_posix()
        for folder in ("images", "apps")
        for place in (ROOT / folder).rglob("Dockerfile")
        # Vendors' images, made from packages where none can be pulled, are no image of the lab's.
        if "from-packages" not in place.parts
    }
    known = {r.dockerfile or f"{r.context}/Dockerfile" for r in images.recipes().values()}
    assert known == dockerfiles


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a remote, as the place that `tree` and `publish` work in."""
    bare, work = tmp_path / "bare.git", tmp_path / "checkout"
    work.mkdir()
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    git(work, "init", "-q", "-b", "main")
    (work / "file").write_text("one\n")
    git(work, "add", "file")
    git(work, "commit", "-q", "-m", "one")
    git(work, "remote", "add", "origin", str(bare))
    git(work, "push", "-q", "origin", "main")
    monkeypatch.setattr(tree, "ROOT", work)
    monkeypatch.setattr(publish, "ROOT", work)
    return work


def test_a_preview_is_of_the_files_as_merged(checkout: Path) -> None:
    git(checkout, "checkout", "-q", "-b", "feature")
    (checkout / "mine").write_text("mine\n")
    git(checkout, "add", "mine")
    git(checkout, "commit", "-q", "-m", "mine")
    alone = tree.current()
    base = tree.merge("main")
    assert base == git(checkout, "rev-parse", "main").strip()
    assert tree.current() == alone  # nothing to merge

    git(checkout, "checkout", "-q", "main")
    (checkout / "theirs").write_text("theirs\n")
    git(checkout, "add", "theirs")
    git(checkout, "commit", "-q", "-m", "theirs")
    git(checkout, "push", "-q", "origin", "main")
    git(checkout, "checkout", "-q", "feature")
    assert tree.merge("main") == git(checkout, "rev-parse", "main").strip()
    assert sorted(place.name for place in checkout.glob("[a-z]*")) == ["file", "mine", "theirs"]
    merged = tree.current()
    # A fast-forward merge of the rebased branch has the same files, so the same name.
    git(checkout, "checkout", "-q", "main")
    git(checkout, "cherry-pick", "feature^1")
    assert tree.current() == merged


def test_a_conflict_says_what_to_do(checkout: Path) -> None:
    git(checkout, "checkout", "-q", "-b", "feature")
    (checkout / "file").write_text("mine\n")
    git(checkout, "commit", "-qam", "mine")
    git(checkout, "checkout", "-q", "main")
    (checkout / "file").write_text("theirs\n")
    git(checkout, "commit", "-qam", "theirs")
    git(checkout, "push", "-q", "origin", "main")
    git(checkout, "checkout", "-q", "feature")
    with pytest.raises(Fault, match="conflicts with main, rebase it"):
        tree.merge("main")


def test_publishing_pushes_and_never_forces(checkout: Path) -> None:
    target = checkout.parent / "target.git"
    git(checkout, "init", "-q", "--bare", str(target))
    publish.push(str(target), "glpat-secret", "/dev/null")
    assert git(target, "rev-parse", "main") == git(checkout, "rev-parse", "HEAD")
    publish.push(str(target), "glpat-secret", "/dev/null")
    git(checkout, "commit", "-q", "--amend", "-m", "other")
    with pytest.raises(Fault, match="git push") as failure:
        publish.push(str(target), "glpat-secret", "/dev/null")
    assert "glpat-secret" not in str(failure.value)


def test_no_part_of_the_token_is_said(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git says is cut, and a token that the cut went through was not found any more."""
    token = "glpat-0123456789"
    for after in range(480, 501):
        said = f"fatal: {token}{'x' * after}"
        answer = subprocess.CompletedProcess([], 1, "", said)
        monkeypatch.setattr(subprocess, "run", lambda *_, answer=answer, **__: answer)
        with pytest.raises(Fault) as failure:
            publish.push("https://gitlab.test/a/b.git", token, "/ca.pem")
        assert re.fullmatch(r"git push: [fatal: ]*\**x+", str(failure.value))


def test_the_token_reaches_git_by_its_environment_only(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def record(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.append((command, options["env"]))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", record)
    publish.push("https://gitlab.test/a/b.git", "glpat-secret", "/ca.pem")
    monkeypatch.undo()
    command, environment = seen[0]
    assert "glpat-secret" not in " ".join(command)
    asked = subprocess.run(
        ["sh", "-c", publish.HELPER.removeprefix("!")],
        capture_output=True,
        text=True,
        check=True,
        env={"DATALAB_PUSH_TOKEN": environment["DATALAB_PUSH_TOKEN"]},
    )
    assert asked.stdout == "username=datalab\npassword=glpat-secret\n"


def test_no_helper_of_the_user_keeps_the_token(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git tells every helper of a password that worked, and `store` writes it to disk in clear."""
    head, seen = git(checkout, "rev-parse", "HEAD").strip(), []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            seen.append(given)
            refs = f"{head} refs/heads/main\0report-status\n"
            lines = ("# service=git-receive-pack\n", "", refs, "")
            body = "".join(f"{len(x) + 4:04x}{x}" if x else "0000" for x in lines).encode()
            self.send_response(200 if given else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="GitLab"')
            self.send_header("Content-Type", "application/x-git-receive-pack-advertisement")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    kept = checkout.parent / "kept"
    config = checkout.parent / "gitconfig"
    config.write_text(f"[credential]\n\thelper = store --file {kept}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as web:
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        publish.push(f"http://127.0.0.1:{web.server_port}/a/b.git", "glpat-secret", "/dev/null")
        web.shutdown()
    assert seen[-1] == f"Basic {base64.b64encode(b'datalab:glpat-secret').decode()}"
    assert not kept.exists()


def test_image_builds_get_the_engine() -> None:
    assert publish.docker_access({"host": "", "ca": ""}) == {}
    remote = {"host": "tcp://docker:2376", "ca": "CA", "certificate": "C", "key": "K"}
    assert set(publish.docker_access(remote)) == {"DOCKER_HOST", *images.PEMS}


def test_pipelines_get_the_passphrase_where_this_machine_has_a_file(tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("a phrase\n")
    file = {"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "phrase"), "PATH": "/bin"}
    assert publish.passphrase_of(file) == "a phrase"
    assert publish.passphrase_of({**file, "PULUMI_CONFIG_PASSPHRASE": "another"}) == "another"


def test_each_job_gets_the_store_s_user_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: dict[str, dict[str, str]] = {}
    client = Mock()
    client.secrets.kv.v2.create_or_update_secret = lambda path, secret, mount_point: written.update(
        {f"{mount_point}/{path}": secret}
    )
    credentials = {
        user: {"access_key": user, "secret_key": f"key of {user}"}
        for user in (*publish.STATE_USERS.values(), "gitlab")
    }
    foundation = {
        "vault_identities": {"services": {"username": "services", "password": "x"}},
        "credentials": credentials,
    }
    backend = "s3://pulumi-state?endpoint=https://store"
    monkeypatch.setattr(publish, "url", lambda env: backend)
    monkeypatch.setattr("hvac.Client", lambda *_, **__: client)
    # What this machine itself would use is nobody else's.
    own = {"PULUMI_CONFIG_PASSPHRASE": "phrase", "AWS_SECRET_ACCESS_KEY": "the operator's"}
    engine = Engine(folder=tmp_path, variables=own)
    settings = settings_of("lab")
    publish._hand_over(engine, "lab", settings, foundation, {"host": ""}, authority="/ca.pem")
    assert written == {
        f"kv/infra/ci/{path}": {
            "PULUMI_BACKEND_URL": backend,
            "PULUMI_CONFIG_PASSPHRASE": "phrase",
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": f"key of {user}",
        }
        for path, user in {"preview": "state-reader", "deploy": "state"}.items()
    }

    del credentials["state-reader"]
    with pytest.raises(Fault, match=r"no user state-reader yet: run \./lab up lab foundation"):
        publish._hand_over(engine, "lab", settings, foundation, {"host": ""}, authority="/ca.pem")


def test_jobs_that_change_nothing_log_in_as_those_who_may_change_nothing() -> None:
    jobs = {
        name: job
        for file in ("deploy", "images")
        for name, job in list(yaml.safe_load_all((ROOT / f".ci/{file}.yml").read_text()))[
            -1
        ].items()
        if "infra/ci/" in "".join(job.get("script", ()))
    }
    assert len(jobs) >= 6
    for name, job in jobs.items():
        writes_state = (
            "./lab ci deploy" in job["script"][0] or "./lab ci images" in job["script"][0]
        )
        assert job["variables"]["VAULT_ROLE"] == ("ci-deploy" if writes_state else "ci-preview"), (
            name
        )
        assert ("infra/ci/deploy" in job["script"][0]) == writes_state, name


def test_layers_get_the_manifest_of_the_images_job_or_of_what_is_pushed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the settings of the checkout, so that a preview shows what it was made of."""
    settings = tmp_path / "Pulumi.lab.yaml"
    shutil.copy(ROOT / settings.name, settings)
    monkeypatch.setattr(run, "stack_file", lambda env: settings)
    monkeypatch.setattr(run, "prepare", lambda env: (None, load_file(settings)))
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    monkeypatch.delenv("CI_REGISTRY", raising=False)
    monkeypatch.setattr(run, "OUT", tmp_path / "out")

    def given() -> set[str]:
        return set(pushed(str(read_config(settings)[f"datalab:{PUSHED}"])))

    before = settings.read_text()
    run._engine("lab")  # no registry is no reason to show no preview
    assert "layers build their own: CI_REGISTRY is not set" in capsys.readouterr().out
    assert settings.read_text() == before

    entry = {"version": "0" * 12, "image": f"reg/web@sha256:{'0' * 64}"}
    monkeypatch.setattr(images, "record", lambda out: images._write(out, {"web": entry}))
    run._engine("lab")
    assert given() == {"web"}
    assert "datalab:pushedImages in Pulumi.lab.yaml: web" in capsys.readouterr().out

    images._write(run.OUT, {"mlflow": entry})  # as the job's artifact
    run._engine("lab")
    assert given() == {"mlflow"}


def test_deployments_wait_for_the_images_job_and_find_its_manifest() -> None:
    *_, job = yaml.safe_load_all((ROOT / ".ci/images.yml").read_text())
    kept = [ROOT / path for path in job["images"]["artifacts"]["paths"]]
    assert kept == [run.OUT / images.FILE]
    *_, jobs = yaml.safe_load_all((ROOT / ".ci/deploy.yml").read_text())
    for layer in ("services", "apps"):
        assert {"job": "images", "optional": True} in jobs[f"deploy:{layer}"]["needs"]


def test_who_builds_an_image_is_no_change_of_the_lab() -> None:
    """A merge request's preview is from before its images are built, a deployment's from after."""

    def step(op: str, kind: str, name: str) -> dict[str, str]:
        return {"op": op, "urn": f"urn:pulumi:lab-apps::datalab::{kind}::{name}"}

    container = step("replace", "docker:index/container:Container", "web-container")
    before = {"steps": [step("create", "docker:index/image:Image", "web-build"), container]}
    after = {"steps": [step("delete", "docker:index/image:Image", "model-build"), container]}
    reviewed, now = (reduce("apps", "t", preview) for preview in (before, after))
    assert [step.name for step in now.steps] == ["web-container"]
    assert refusals(now, reviewed, []) == []
