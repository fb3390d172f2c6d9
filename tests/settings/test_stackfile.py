"""Stack files are read as Pulumi reads them, and what cannot be read is a fault with its place."""

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settings import SettingsError, load_file
from settings.stackfile import StackFileError, read_config
from tests.harness.mutations import seeded
from tests.harness.patched import sample_file

# Text -> value, for everything that YAML 1.1, YAML 1.2 and Go's yaml.v3 see in different ways.
VALUES: dict[str, Any] = {
    **{word: word for word in ("yes", "no", "on", "off", "y", "N", "Yes", "OFF")},
    **{"true": True, "True": True, "FALSE": False, "tRUE": "tRUE"},
    **{"~": None, "null": None, "Null": None, "nULL": "nULL", "none": "none"},
    **{"1_000": 1000, "1__0": 10, "_1": "_1", "1_": 1, ".5_1": 0.51, "._5": "._5"},
    **{"0o17": 15, "017": 15, "018": 18, "-017": -15, "0o9": "0o9", "0O17": 15},
    **{"0x1f": 31, "0X1F": 31, "-0x1f": -31, "+0x1F": 31, "0xZZ": "0xZZ", "0x1p3": "0x1p3"},
    **{"0b101": 5, "-0b101": -5, "0b12": "0b12"},
    **{"10:20:30": "10:20:30", "1:20.5": "1:20.5", "00:11:22:33:44:55": "00:11:22:33:44:55"},
    **{"12:34:56:78:90:12": "12:34:56:78:90:12", "17:3a47": "17:3a47", "10de:1f15": "10de:1f15"},
    **{"1e3": 1000, "1.5e+3": 1500, "1e400": "1e400", "1.0": 1, "10.10": 10.1, "5.": 5, ".5": 0.5},
    **{"+5": 5, "-.5e3": -500, ".e5": ".e5", "1.2.3": "1.2.3", "192.168.1.1": "192.168.1.1"},
    **{"=": "=", '"1"': "1", "'yes'": "yes", "!!str 12": "12", "20260101": 20260101},
    **{
        "172.30.0.0/24": "172.30.0.0/24",
        "2026-01-01-x": "2026-01-01-x",
        "9007199254740991": 2**53 - 1,
    },
}
TEXT = "".join(f"    k{n}: {text}\n" for n, text in enumerate(VALUES))
MERGED = """
    base: &base {a: 1, b: 2}
    other: &other {a: 5, c: 6}
    one: {<<: *base, b: 3}
    two: {b: 3, <<: [*base, *other]}
    alias: *base
    keys: {1: x, true: y, 0x10: z}
    block: |
      two
      lines
    folded: >-
      one
      line
"""
# What neither reads.
REFUSED = {
    "duplicate key": ("config:\n  datalab:a: {x: 1}\n  datalab:a: 2\n", 3, "line 2"),
    "duplicate key inside": ("config:\n  datalab:a:\n    x: 1\n    x: 2\n", 4, "line 3"),
    "tab": ("config:\n\tdatalab:a: 1\n", 2, "a tab"),
    "infinity": ("config:\n  datalab:a: {x: .inf}\n", 2, ".inf"),
    "not a number": ("config:\n  datalab:a:\n    x: .NaN\n", 3, ".NaN"),
    "unknown anchor": ("config:\n  datalab:a: *nowhere\n", 2, "nowhere"),
    "anchor in itself": ("config:\n  datalab:a: &x [*x]\n", 2, "itself"),
    "list as a key": ("config:\n  datalab:a: {[1]: 1}\n", 2, "key"),
    "merge of a number": ("config:\n  datalab:a: {<<: 7}\n", 2, "<<"),
    "open bracket": ("config:\n  datalab:a: {x: [1\n", 2, "closing bracket"),
}
# What Pulumi would read as hardly anybody means it.
STRICTER = {
    "date": ("config:\n  datalab:a: {x: 2026-01-01}\n", 2, "quotes"),
    "time": ("config:\n  datalab:a: {x: 2026-01-01T10:00:00Z}\n", 2, "quotes"),
    "tag": ("config:\n  datalab:a: !secret x\n", 2, "tag"),
    "null as a key": ("config:\n  datalab:a: {~: 1}\n", 2, "quotes"),
    "fraction as a key": ("config:\n  datalab:a: {1.5: 1}\n", 2, "quotes"),
    "second document": ("config:\n  datalab:a: 1\n---\nconfig: {}\n", 3, "document"),
    "half a character": ('config:\n  datalab:a: {x: "\\ud800"}\n', 2, "character"),
}


def read(folder: Path, text: str | bytes) -> dict[str, Any]:
    """What `read_config` makes of a text."""
    path = folder / "Pulumi.dev.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(path)


def test_plain_text(tmp_path: Path) -> None:
    found = read(tmp_path, f"config:\n  datalab:a:\n{TEXT}")["datalab:a"]
    assert list(found.values()) == list(VALUES.values())
    assert [type(value) for value in found.values()] == [type(value) for value in VALUES.values()]


def test_merges_and_keys(tmp_path: Path) -> None:
    found = read(tmp_path, f"config:\n  datalab:a:{MERGED}")["datalab:a"]
    assert found["one"] == {"a": 1, "b": 3}
    assert found["two"] == {"a": 1, "b": 3, "c": 6}
    assert found["alias"] == {"a": 1, "b": 2}
    assert found["keys"] == {"1": "x", "true": "y", "16": "z"}
    assert (found["block"], found["folded"]) == ("two\nlines\n", "one line")


def test_keys_without_namespace_are_the_projects(tmp_path: Path) -> None:
    text = "encryptionsalt: v1:x\nconfig:\n  common: {a: 1}\n  pulumi:tags: {}\n"
    assert read(tmp_path, text) == {"datalab:common": {"a": 1}, "pulumi:tags": {}}


@pytest.mark.parametrize(("text", "line", "word"), [*REFUSED.values(), *STRICTER.values()])
def test_refusal_names_the_line(tmp_path: Path, text: str, line: int, word: str) -> None:
    with pytest.raises(StackFileError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"line {line}: ")
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "has no `config:` map"),
        (b"# nothing\n", "has no `config:` map"),
        (b"config:\n", "has no `config:` map"),
        (b"config: [1]\n", "has no `config:` map"),
        (b"config: abc\n", "has no `config:` map"),
        (b"- 1\n", "has no `config:` map"),
        (b"config: {}\ndatalab:common: {}\n", "`datalab:common` does nothing there"),
        (b"config:\n  datalab:a: \xff\n", "line 2: is not UTF-8"),
        (b"config: \x00\n", "special characters are not allowed"),
        (b"config:\n  datalab:a: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (
            b"config:\n  datalab:a: &a0 [1, 1]\n"
            + b"".join(
                b"  datalab:a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 60)
            ),
            "aliases repeat too much",
        ),
    ],
)
def test_no_stack_file(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(StackFileError, match=words):
        read(tmp_path, text)


def test_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfconfig:\n  datalab:a: {}\n") == {"datalab:a": {}}


def test_folder_and_missing_file(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none.yaml", "No such file or directory"),
    ):
        with pytest.raises(SettingsError) as caught:
            load_file(path)
        assert str(caught.value) == f"{path.name}: cannot be read: {words}"


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_bytes(b"config:\n  datalab:common: " + data)
    with pytest.raises(SettingsError) as caught:
        load_file(path)
    assert all(fault.isprintable() for fault in caught.value.faults)


class Pulumi:
    """The real CLI in a project of its own."""

    def __init__(self, folder: Path, variables: Mapping[str, str]):
        self.folder = folder
        state = folder / "state"
        state.mkdir()
        self.variables = {
            **variables,
            "PULUMI_BACKEND_URL": state.as_uri(),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        (folder / "Pulumi.yaml").write_text("name: datalab\nruntime: python\n")
        self.run("stack", "init", "dev").check_returncode()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI."""
        return subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def read(self, text: str) -> dict[str, Any] | None:
        """What the CLI makes of a stack file; None where it refuses."""
        (self.folder / "Pulumi.dev.yaml").write_text(text)
        answer = self.run("config", "--json", "--stack", "dev")
        if answer.returncode:
            return None
        found: dict[str, Any] = json.loads(answer.stdout)
        return {key: entry.get("objectValue", entry.get("value")) for key, entry in found.items()}


@pytest.fixture(scope="module")
def pulumi(
    tmp_path_factory: pytest.TempPathFactory, pulumi_environment: Mapping[str, str]
) -> Pulumi:
    """The CLI that the toolchain found or built."""
    return Pulumi(tmp_path_factory.mktemp("project"), pulumi_environment)


@pytest.mark.engine
@pytest.mark.parametrize("body", [f"\n{TEXT}", MERGED], ids=["plain text", "merges"])
def test_pulumi_reads_the_same(pulumi: Pulumi, tmp_path: Path, body: str) -> None:
    text = f"config:\n  datalab:a:{body}"
    assert pulumi.read(text) == read(tmp_path, text)


@pytest.mark.engine
def test_pulumi_reads_random_numbers_the_same(pulumi: Pulumi, tmp_path: Path) -> None:
    rng = seeded(3)
    lines: list[str] = []
    while len(lines) < 1500:
        word = "".join(rng.choices("0011789_+-.eExXoObBafF7:TZn~", k=rng.randint(1, 7)))
        line = f"    k{len(lines)}: {word}\n"
        with suppress(StackFileError):
            read(tmp_path, f"config:\n  datalab:a:\n{line}")
            lines.append(line)
    text = f"config:\n  datalab:a:\n{''.join(lines)}"
    assert pulumi.read(text) == read(tmp_path, text)


@pytest.mark.engine
@pytest.mark.parametrize("environment", ["dev", "lab"])
def test_pulumi_reads_whole_stack_files_the_same(pulumi: Pulumi, environment: str) -> None:
    path = sample_file(environment)
    assert pulumi.read(path.read_text()) == read_config(path)


@pytest.mark.engine
@pytest.mark.parametrize("name", REFUSED)
def test_pulumi_refuses_the_same(pulumi: Pulumi, name: str) -> None:
    assert pulumi.read(REFUSED[name][0]) is None
