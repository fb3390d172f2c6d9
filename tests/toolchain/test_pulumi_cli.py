"""Which Pulumi is used, and how one is built, with a fake `go` and a fake `pulumi`."""

import os
from pathlib import Path

import pytest

from toolchain import install, pulumi_cli

# Builds a `pulumi` that says its version, as the real one does with -ldflags.
GO = """#!/bin/sh
echo "$@" >> "$GO_CALLS"
for name in GOPATH GOMODCACHE GOCACHE GOTMPDIR XDG_CONFIG_HOME; do
    eval "value=\\$$name"
    case "$value" in "$XDG_CACHE_HOME"/datalab/go*) ;; *) echo "$name is $value"; exit 9 ;; esac
done
case "$1 $2" in
"version "*) echo "go version $GO_VERSION linux/amd64" ;;
"env GOFLAGS") echo -buildvcs=false ;;
"list -deps") printf 'fmt\\nos\\n' ;;
"mod download") printf 'go: downloading x\\n{\\n\\t"Dir": "%s"\\n}\\n' "$GO_SDK" ;;
"build -v")
    [ "$GOFLAGS" = "-buildvcs=false -modcacherw" ] || exit 8
    [ "$CGO_ENABLED" = 0 ] || exit 7
    [ -n "$GO_FAILS" ] && { echo "no space left"; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho %s\\n' "$PULUMI_SAYS" > "$2"; chmod +x "$2" ;;
*) exit 6 ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH holds only a folder of the test's, with a Go that builds at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = tmp_path / "sdk" / "python" / "cmd" / pulumi_cli.EXEC_SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text("# runs a program\n")
    program(folder / "go", GO)
    for name, value in {
        "PATH": f"{folder}:/usr/bin:/bin",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GO_CALLS": str(tmp_path / "calls"),
        "GO_VERSION": "go1.26.8",
        "GO_SDK": str(tmp_path / "sdk"),
        "PULUMI_SAYS": pulumi_cli.pinned_version(),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("PULUMI_HOME", "GOENV", "GOTOOLCHAIN"):
        monkeypatch.delenv(name, raising=False)
    return folder


def program(path: Path, text: str) -> None:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)


def pulumi(folder: Path, version: str) -> Path:
    """A `pulumi` that says its version and counts its starts."""
    program(folder / "pulumi", f"#!/bin/sh\necho x >> {folder}/starts\necho {version}\n")
    return folder / "pulumi"


def test_built_once(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = pulumi_cli.ensure_pulumi()
    assert found.pulumi == pulumi_cli.built_folder() / "pulumi"
    assert found.version == pulumi_cli.pinned_version()
    assert not found.official_host
    script = pulumi_cli.built_folder() / pulumi_cli.EXEC_SCRIPT
    assert os.access(script, os.X_OK)
    assert not (install.cache_folder() / "go").exists(), "the sources are of no more use"
    calls = (machine.parent / "calls").read_text()
    assert f"version.Version={found.version}" in calls
    (machine / "go").unlink()
    capsys.readouterr()
    assert pulumi_cli.ensure_pulumi() == found
    assert capsys.readouterr().err == ""


def test_a_failed_build_says_why_and_the_next_start_goes_on(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    with pytest.raises(install.SetupError, match="no space left"):
        pulumi_cli.ensure_pulumi()
    assert pulumi_cli.find_pulumi() is None
    assert (install.cache_folder() / "go").exists(), "what was fetched is kept"
    monkeypatch.delenv("GO_FAILS")
    assert pulumi_cli.ensure_pulumi().version == pulumi_cli.pinned_version()


def test_an_interrupted_build_is_not_taken_for_a_finished_one(machine: Path) -> None:
    folder = pulumi_cli.built_folder()
    folder.mkdir(parents=True)
    (folder / ".pulumi.new").write_text("half")
    assert pulumi_cli.find_pulumi() is None
    assert pulumi_cli.ensure_pulumi().pulumi == folder / "pulumi"


def test_the_one_on_path_is_used(machine: Path) -> None:
    pulumi(machine, "v3.257.0")
    program(machine / "pulumi-language-python", "#!/bin/sh\n")
    found = pulumi_cli.ensure_pulumi()
    assert found == pulumi_cli.Toolchain(
        pulumi=machine / "pulumi", version="v3.257.0", official_host=True
    )
    assert pulumi_cli.OWN_HOST not in found.path
    pulumi_cli.ensure_pulumi()
    assert (machine / "starts").read_text().count("x") == 1, "its version is remembered"
    pulumi(machine, "v3.260.0-longer")
    assert pulumi_cli.ensure_pulumi().version == "v3.260.0-longer"


def test_official_host_beside_the_binary_that_path_links_to(machine: Path) -> None:
    home = machine.parent / "official"
    home.mkdir()
    pulumi(home, "v3.259.0")
    program(home / "pulumi-language-python", "#!/bin/sh\n")
    (machine / "pulumi").symlink_to(home / "pulumi")
    assert pulumi_cli.ensure_pulumi().official_host


def test_without_the_official_host_ours_stands_on_path(machine: Path) -> None:
    pulumi(machine, "v3.259.0")
    found = pulumi_cli.ensure_pulumi()
    assert found.pulumi == machine / "pulumi"
    path = pulumi_cli.environment(found)["PATH"].split(os.pathsep)
    assert path.index(str(pulumi_cli.OWN_HOST)) < path.index("/usr/bin")
    assert os.access(pulumi_cli.OWN_HOST / "pulumi-language-python", os.X_OK)
    assert str(pulumi_cli.built_folder()) in path
    assert "build -v" not in (machine.parent / "calls").read_text()


@pytest.mark.parametrize("version", ["v3.256.1", "v2.99.0", "not a version"])
def test_one_that_is_too_old_is_not_used(machine: Path, version: str) -> None:
    pulumi(machine, version)
    assert pulumi_cli.ensure_pulumi().pulumi == pulumi_cli.built_folder() / "pulumi"


@pytest.mark.parametrize("go", [None, "go1.20.14", "devel"])
def test_neither_pulumi_nor_go(
    machine: Path, monkeypatch: pytest.MonkeyPatch, go: str | None
) -> None:
    if go is None:
        (machine / "go").unlink()
    else:
        monkeypatch.setenv("GO_VERSION", go)
    with pytest.raises(install.SetupError, match=r"(?s)pulumi\.com.*Go >= 1\.21.*apt install"):
        pulumi_cli.ensure_pulumi()


def test_environment_is_the_same_when_evaluated_twice(machine: Path) -> None:
    found = pulumi_cli.ensure_pulumi()
    once = pulumi_cli.environment(found)
    assert pulumi_cli.environment(found, once) == once
    assert once["PULUMI_HOME"].startswith(str(install.cache_folder()))


def test_the_same_minimum_stands_in_the_project_file() -> None:
    text = (install.ROOT / "Pulumi.yaml").read_text()
    major, minor = pulumi_cli.MINIMUM_PULUMI
    assert f'requiredPulumiVersion: ">={major}.{minor}.0"' in text
    assert pulumi_cli.new_enough(pulumi_cli.pinned_version())
