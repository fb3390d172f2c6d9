"""`./lab ci images` with a real engine and a real registry."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.ci import images
from cli.lib.fault import Fault
from settings.images import pushed as read_manifest
from settings.recipe import Recipe
from targets import image as places_image
from targets.image import version
from tests.harness.deploy import settings_of
from tests.harness.docker import engine, registry
from tests.harness.pipelines import ROOT

pytestmark = pytest.mark.service

NAMES = ("runner", "deployer")
SHELL = "/usr/bin/busybox"
LAB = settings_of("lab")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("engine")
    with registry(folder) as place, engine(folder) as host:
        yield host, place


@pytest.fixture
def project(
    servers: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Path:
    """A project with two small images and a place of its own in the registry."""
    host, place = servers
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
        (tmp_path / name / "content").write_text(f"{name} {request.node.name}\n")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(places_image, "ROOT", tmp_path)
    monkeypatch.setattr(
        images, "recipes", lambda: {name: Recipe(context=name, base={}) for name in NAMES}
    )
    for name, value in {
        "DOCKER_HOST": host,
        "CI_SERVER_URL": "http://gitlab.test",
        "CI_REGISTRY": place,
        "CI_REGISTRY_IMAGE": f"{place}/lab/{abs(hash(request.node.name))}",
        "CI_REGISTRY_USER": "job",
        "CI_REGISTRY_PASSWORD": "planted-password-of-the-job",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("DATALAB_CA_FILE", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def build(project: Path) -> dict[str, Any]:
    assert images.build_all(LAB, project / "out") == 0
    found: dict[str, Any] = json.loads((project / "out" / "images.json").read_text())
    return found


def recipe(name: str) -> Recipe:
    return Recipe(context=name, base={})


def test_a_pipeline_that_builds_none_records_what_is_there(project: Path) -> None:
    out = project / "out"
    images.record(out)
    assert json.loads((out / images.FILE).read_text()) == {}
    built = build(project)
    (project / "runner" / "content").write_text("newer\n")
    images.record(out)
    assert json.loads((out / images.FILE).read_text()) == {"deployer": built["deployer"]}


def test_the_program_reads_what_the_job_writes(project: Path) -> None:
    build(project)
    written = read_manifest((project / "out" / images.FILE).read_text())
    there = images.Registry.of_job()
    for name, pushed in written.items():
        assert pushed.version == version(recipe(name))
        assert pushed.digest == there.digest(name, pushed.version)
    assert set(written) == set(NAMES)


def test_only_what_is_new_is_built(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    there = images.Registry.of_job()
    first = build(project)
    assert capfd.readouterr().out.count(": building") == 2
    for name in NAMES:
        tag = version(recipe(name))
        assert first[name]["version"] == tag
        assert first[name]["image"] == f"{there.place}/{name}@{there.digest(name, tag)}"
    assert there.digest("ubuntu", "custom") == first["runner"]["image"].rpartition("@")[2]

    assert build(project) == first
    assert ": building" not in capfd.readouterr().out

    (project / "runner" / "content").write_text("newer\n")
    third = build(project)
    assert capfd.readouterr().out.count(": building") == 1
    assert third["deployer"] == first["deployer"]
    assert third["runner"]["version"] != first["runner"]["version"]
    assert there.digest("ubuntu", "custom") == third["runner"]["image"].rpartition("@")[2]


def test_the_engine_has_the_images_of_jobs_that_may_not_pull_them(project: Path) -> None:
    """A fork's job has a token that GitLab's registry refuses; the runner then needs none."""
    built = build(project)
    references = [built[name]["image"] for name in NAMES]
    subprocess.run(["docker", "image", "prune", "--all", "--force"], check=True)
    inspect = ["docker", "image", "inspect", *references]
    assert subprocess.run(inspect, capture_output=True, check=False).returncode
    build(project)  # builds none
    assert subprocess.run(inspect, capture_output=True, check=False).returncode == 0
    runner = (ROOT / "layers/platform/files/gitlab/config.toml.j2").read_text()
    assert 'pull_policy = ["if-not-present"]' in runner


@pytest.mark.parametrize(
    ("dockerfile", "content", "where"),
    [
        ("FROM scratch\nCOPY content /root/.key\n", "planted-password-of-the-job", "root/.key"),
        (
            "FROM scratch\nCOPY content /root/.key\n",
            f"-----BEGIN RSA PRIVATE KEY-----\n{'A' * 64}\n",
            "root/.key",
        ),
        ("FROM scratch\nENV TOKEN=glpat-abcdefghij0123456789\nCOPY content /\n", "", "history"),
        # Deleted by a later layer, and still there for who looks.
        (
            "FROM scratch\nCOPY content /x/content\nCOPY Dockerfile /x/content\n",
            "hvs.CAESIabcdefghij0123456789",
            "x/content",
        ),
    ],
)
def test_an_image_with_a_secret_is_not_pushed(
    project: Path, dockerfile: str, content: str, where: str
) -> None:
    (project / "runner" / "Dockerfile").write_text(dockerfile)
    (project / "runner" / "content").write_text(content)
    with pytest.raises(Fault, match="holds secrets and is not pushed") as failure:
        images.build_all(LAB, project / "out")
    assert where in str(failure.value)
    assert not [part for part in (content, "glpat-") if part and part in str(failure.value)]
    assert images.Registry.of_job().digest("runner", version(recipe("runner"))) is None
    left = subprocess.run(
        ["docker", "image", "ls", "--quiet", f"{os.environ['CI_REGISTRY_IMAGE']}/runner"],
        capture_output=True,
        check=True,
    )
    assert left.stdout == b""


def test_a_build_installs_through_the_package_cache_by_its_name(project: Path) -> None:
    """A build sees neither the hosts of the engine's machine nor any variable of the job."""
    libraries = subprocess.run(["ldd", SHELL], capture_output=True, text=True, check=False).stdout
    for file in (SHELL, *re.findall(r"(/\S+) \(", libraries)):
        place = project / "runner" / "root" / file[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    check = (
        f'{SHELL} grep -q "^192.168.1.103.cache.lab.home.arpa$" /etc/hosts'
        ' && test "$UBUNTU_MIRROR" = http://cache.lab.home.arpa:8480/ubuntu'
    )
    (project / "runner" / "Dockerfile").write_text(
        "FROM scratch\nARG UBUNTU_MIRROR\nCOPY root /\n"
        f"RUN {json.dumps([SHELL, 'sh', '-c', check])}\n"
    )
    assert set(build(project)) == set(NAMES)


def test_no_image_is_built_of_a_download_without_a_sum(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = "docker@5.2.0@https://get.pulumi.com/docker.tar.gz@"
    unpinned = Recipe(context="runner", base={"PULUMI_SHA256": "", "PULUMI_PLUGINS": plugin})
    monkeypatch.setattr(images, "recipes", lambda: dict.fromkeys(NAMES, unpinned))
    with pytest.raises(Fault) as refused:
        images.build_all(LAB, project / "out")
    for entry, line in zip(
        ("downloads.pulumi", "plugins.docker"), str(refused.value).splitlines(), strict=True
    ):
        assert line.startswith(f"images.sum has no sum of {entry}, ")
        assert "run ./lab pin on a connected machine" in line
    assert images.Registry.of_job().digest("runner", version(unpinned)) is None
    allowed = LAB.common.model_copy(update={"unpinned_downloads": "allow"})
    assert images.build_all(LAB.model_copy(update={"common": allowed}), project / "out") == 0


def test_a_build_that_fails_says_so(project: Path) -> None:
    (project / "runner" / "Dockerfile").write_text("FROM scratch\nCOPY missing /\n")
    with pytest.raises(Fault, match="docker build failed"):
        images.build_all(LAB, project / "out")
    assert not (project / "out").exists()


def test_a_registry_that_is_down_is_a_fault(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_REGISTRY", "127.0.0.1:9")
    with pytest.raises(Fault, match=r"the registry at http://127\.0\.0\.1:9 failed"):
        images.Registry.of_job().digest("runner", "x")


def test_gitlabs_registry_wants_a_token_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/jwt/auth":
            assert request.headers["Authorization"].startswith("Basic ")
            assert dict(request.url.params) == {"service": "reg", "scope": "repository:g/p:pull"}
            return httpx.Response(200, json={"token": "short-lived"})
        if request.headers.get("Authorization") != "Bearer short-lived":
            challenge = (
                'Bearer realm="http://reg.test/jwt/auth",service="reg",scope="repository:g/p:pull"'
            )
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        assert "oci.image.index" in request.headers["Accept"]
        return httpx.Response(200, content=b"{}", headers={"Docker-Content-Digest": told})

    told = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"

    client = httpx.Client
    monkeypatch.setattr(
        httpx,
        "Client",
        lambda **options: client(
            base_url=options["base_url"], transport=httpx.MockTransport(answer)
        ),
    )
    there = images.Registry("http://reg.test", "reg.test/g/p", "job", "password")
    assert there.digest("runner", "abc") == told


def test_the_engines_certificate_is_in_files_for_docker_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in images.PEMS:
        monkeypatch.setenv(name, f"{name} text")
    for name in ("DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, "")
    with images.docker_host():
        folder = Path(os.environ["DOCKER_CERT_PATH"])
        assert (folder / "key.pem").read_text() == "DOCKER_KEY_PEM text"
        assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    assert not folder.exists()
