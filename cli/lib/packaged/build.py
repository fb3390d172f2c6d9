"""Makes the images of images/from-packages in a Docker engine."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cli.lib.backend import LOCAL_PROVIDERS
from cli.lib.fault import Fault
from cli.lib.packaged import programs
from settings import Settings
from settings.containers import from_packages
from settings.foundation.vault import Vault
from settings.packaged import PREFIX, Contract, contracts
from toolchain.kept import cached

# Trust of this machine: what stands between it and the registries of packages may have a CA of its
# own, which pip and npm in a build must know.
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SOURCES = "Types: deb\nURIs: {archive}\nSuites: {suite}\nComponents: main\n{signed}"
# A mirror of a suite that is not released may stand still for longer than its index says that it is
# valid; what is in it is signed all the same.
MIRROR = 'Acquire::Check-Valid-Until "false";\n'
# That of every suite of Debian, named as an older debootstrap does not know the newest ones.
SCRIPT = "/usr/share/debootstrap/scripts/sid"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def make(
    wanted: Iterable[Contract],
    env: Mapping[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Build those that the engine lacks; `env` leads docker to it, `tell` hears what is built."""
    for contract in wanted:
        if _has(contract.reference, env):
            continue
        tell(f"building {contract.reference} for {', '.join(contract.of)}")
        _base(contract.base, env)
        with tempfile.TemporaryDirectory() as scratch:
            context = Path(scratch) / "context"
            shutil.copytree(contract.folder, context)
            for name, source in contract.programs.items():
                found = programs.of(contract.name, name, source)
                # Links would do, but the engine reads none that leads out of the context.
                shutil.copytree(found, context / name, copy_function=_hard_link)
            # The host's network: an engine may have none of its own for builds, as dev's has not.
            build = ("build", "--quiet", "--network=host", f"--tag={contract.reference}")
            _docker(*build, str(context), env=env)


def providers(env: Mapping[str, str]) -> None:
    """Build what the local providers need, before the engine waits for them: once, some minutes."""
    command = [str(LOCAL_PROVIDERS / "pulumi-resource-docker"), "--build"]
    # What it says goes to the terminal as it comes.
    done = subprocess.run(command, env=dict(env), stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Fault("Docker's provider could not be built; its last lines are above")


def needed(settings: Settings) -> list[Contract]:
    """The images that an environment runs, where its settings say that they are made here."""
    if not from_packages(settings):
        return []
    # Of what can stand for each other only one is chosen, and one of them takes ten minutes.
    engines = {"vault", "openbao"} - {settings.get(Vault).engine}
    return [*dict.fromkeys(made for name, made in contracts().items() if name not in engines)]


def _hard_link(source: str, target: str) -> str:
    """A file's content in the context, without a second copy where that can be had."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target


def _has(reference: str, env: Mapping[str, str]) -> bool:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", reference]
    return subprocess.run(command, env=dict(env), capture_output=True, check=False).returncode == 0


def _base(suite: str, env: Mapping[str, str]) -> None:
    """A Debian of this suite in the engine."""
    reference = f"{PREFIX}/debian:{suite}"
    if not _has(reference, env):
        _docker("import", str(debian(suite) / "root.tar"), reference, env=env)


def debian(suite: str) -> Path:
    """A folder with `root.tar`, the smallest Debian of this suite with certificates."""

    def bootstrap(folder: Path) -> None:
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            raise Fault("images from packages need root and debootstrap: apt install debootstrap")
        root, archive = folder / "root", _archive()
        words = ("--variant=minbase", "--include=ca-certificates", suite, str(root), archive)
        programs.run(["debootstrap", *words, SCRIPT])
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        text = SOURCES.format(archive=archive, suite=suite, signed=f"Signed-By: {KEYRING}\n")
        (root / "etc/apt/sources.list.d/debian.sources").write_text(text)
        (root / "etc/apt/apt.conf.d/90-mirror").write_text(MIRROR)
        if BUNDLE.exists():
            shutil.copy(BUNDLE, root / BUNDLE.relative_to("/"))
        shutil.rmtree(root / "var/cache/apt/archives")
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        for index in (root / "var/lib/apt/lists").iterdir():
            shutil.rmtree(index) if index.is_dir() else index.unlink()
        programs.run(["tar", "-C", str(root), "-cf", str(folder / "root.tar"), "."])
        shutil.rmtree(root)

    key = hashlib.sha256((SOURCES + MIRROR).encode()).hexdigest()[:12]
    return cached(f"debian-{suite}-{key}", bootstrap)


def _archive() -> str:
    """The archive that this machine itself installs Debian from; it has every suite."""
    system = platform.freedesktop_os_release()
    if system["ID"] != "debian":
        raise Fault(f"images from packages are made on Debian, and this is {system['NAME']}")
    own = f"Codename: {system['VERSION_CODENAME']}"
    sites = programs.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", own])
    return sites.split()[0].rstrip("/")


def _docker(*words: str, env: Mapping[str, str]) -> str:
    return programs.run(["docker", *words], env)
