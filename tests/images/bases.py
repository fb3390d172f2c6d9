"""What images are made of, where no registry and no vendor's site can be reached."""

import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.harness.machine import archive
from tests.harness.node import NODE
from toolchain import kept, obtain

SUITE = "trixie"  # the first Debian with docker-buildx, as Ubuntu 24.04 has it
INCLUDE = "ca-certificates,docker-cli"  # Ubuntu's docker.io has docker, Debian's is split
SOURCES = """\
Types: deb
URIs: http://archive.ubuntu.com/ubuntu/
Suites: {suite}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
UBUNTU, PYTHON, JAVASCRIPT = (f"datalab-test/{name}" for name in ("ubuntu", "python", "node"))
# What the official images have beyond their distribution.
LANGUAGES = {
    PYTHON: f"""\
FROM {UBUNTU}
ARG UBUNTU_MIRROR
RUN sed -i "s#^URIs: .*#URIs: $UBUNTU_MIRROR/#" /etc/apt/sources.list.d/ubuntu.sources \\
    && apt-get update && apt-get install -y --no-install-recommends python3-venv \\
    && python3 -m venv /usr/local
""",
    JAVASCRIPT: f"""\
FROM {UBUNTU}
COPY . /usr/local/
RUN ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
""",
}
WITH_BUILDX = """\
#!/bin/sh
mkdir -p "$DOCKER_CONFIG" && ln -sfn {plugins} "$DOCKER_CONFIG/cli-plugins"
exec {docker} "$@"
"""
PLUGIN = "#!/bin/sh\nexit 1\n"  # a rehearsal's stand-ins are before it on PATH


def run(*words: str | Path) -> str:
    """What a program says; AssertionError with it when it fails."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


docker = partial(run, "docker")


def digest(*parts: object) -> str:
    """A key of the cache folder."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def distribution() -> Path:
    """A folder with what is of the stand-in for Ubuntu: `root.tar`, and in `buildx` its plugin.

    Debian 12, which this may be, has a docker without the builder that Dockerfiles are for.
    """

    def make(folder: Path) -> None:
        root, sources = folder / "root", Path("etc/apt/sources.list.d/ubuntu.sources")
        words = ("--variant=minbase", f"--include={INCLUDE}", SUITE, root, archive())
        run("debootstrap", *words)
        shutil.copy("/etc/resolv.conf", root / "etc")
        fetch = "apt-get -q update && cd /tmp && apt-get -q download docker-buildx"
        run("chroot", root, "sh", "-ec", fetch)
        (package,) = (root / "tmp").glob("docker-buildx_*.deb")
        run("dpkg-deb", "--extract", package, folder / "buildx")
        package.unlink()
        run("chroot", root, "sh", "-ec", "apt-get clean && rm -r /var/lib/apt/lists/*")
        (root / "etc/apt/sources.list").unlink()
        (root / sources).write_text(SOURCES.format(suite=SUITE))
        run("tar", "-C", root, "-cf", folder / "root.tar", ".")
        shutil.rmtree(root)

    return kept.cached(f"image-{SUITE}-{digest(INCLUDE, SOURCES)}", make)


def with_buildx(folder: Path) -> str:
    """A PATH on which docker has its builder, whatever configuration it is given."""
    program = folder / "docker"
    plugins = distribution() / "buildx/usr/libexec/docker/cli-plugins"
    program.write_text(WITH_BUILDX.format(docker=shutil.which("docker"), plugins=plugins))
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """The files of a folder over HTTP; yields the address."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as here:
        threading.Thread(target=here.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{here.server_port}"
        here.shutdown()


def pack(file: Path, source: Path, name: str) -> str:
    """Make a tar.gz of one file, the same of the same file; its SHA-256."""
    with (
        gzip.GzipFile(file, "wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as made,
    ):
        made.add(source, name)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def downloads(folder: Path, plugins: str, at: str) -> Mapping[str, str]:
    """Fill a folder with Pulumi and its plugins; the build arguments of the deployer for them."""
    checksum = pack(folder / "pulumi.tar.gz", obtain.ensure_pulumi().pulumi, "pulumi/pulumi")
    stub = folder / "plugin"
    stub.write_text(PLUGIN)
    stub.chmod(0o755)
    os.utime(stub, (0, 0))
    found = []
    for plugin in plugins.split():
        name, version, *_ = plugin.split("@")
        file = folder / f"pulumi-resource-{name}-v{version}-linux-amd64.tar.gz"
        sha256 = pack(file, stub, f"pulumi-resource-{name}")
        found.append(f"{name}@{version}@{at}/{file.name}@{sha256}")
    return {
        "PULUMI_URL": f"{at}/pulumi.tar.gz",
        "PULUMI_SHA256": checksum,
        "PULUMI_PLUGINS": " ".join(found),
    }


def make_bases(folder: Path, arguments: Mapping[str, str]) -> None:
    """The images that stand in for those of images.yaml, unless the engine has them."""
    there = docker("image", "ls", "--format", "{{.Repository}}").split()
    if {UBUNTU, *LANGUAGES} <= set(there):
        return
    docker("import", distribution() / "root.tar", UBUNTU)
    node = folder / "node"
    (node / "bin").mkdir(parents=True)
    (node / "lib/node_modules").mkdir(parents=True)
    shutil.copy(NODE / "node", node / "bin")
    shutil.copytree(NODE.parent / "lib/node_modules/npm", node / "lib/node_modules/npm")
    for tag, text in LANGUAGES.items():
        (node / "Dockerfile").write_text(text)
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        docker("build", "--network=host", *given, "--tag", tag, node)
