"""Values are put into stack files; not a byte of the rest changes."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.lib import stackfile
from cli.lib.fault import Fault
from settings import load_file
from tests.cli.conftest import Checkout
from tests.harness.patched import sample_file

UPSTREAMS = ("config", "datalab:foundation", "cache", "upstreams", "npm")
NPM = {"kind": "npm", "url": "https://npm.example/", "files": ["https://files.example"]}

TEXT = """\
# The operator's own words.

config:
  datalab:common:   # late
    generations: { vault_foundation: 2 }   # why


    region: 'eu-west-1'
  # about the foundation
  foundation:
    cache:
      upstreams:
        ubuntu: { kind: apt }
        # debian: { kind: apt }

      # about the port
      port: 8480
# the end
"""


def test_a_map_grows_at_its_end_after_its_own_comments() -> None:
    addition = """\
        npm:
          kind: npm
          url: https://npm.example/
          files:
            - https://files.example
"""
    comment = "        # debian: { kind: apt }\n"
    assert stackfile.with_value(TEXT, UPSTREAMS, NPM) == TEXT.replace(comment, comment + addition)


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        ("generations.vault_foundation", 3, "foundation: 2 }", "foundation: 3 }"),
        ("generations.ca", 1, "foundation: 2 }", "foundation: 2, ca: 1 }"),
        ("region", "eu-west-2", "'eu-west-1'", "eu-west-2"),
        ("region", "no", "'eu-west-1'", "'no'"),
        (
            "engine.cores",
            4,
            "'eu-west-1'\n",
            "'eu-west-1'\n    engine:\n      cores: 4\n",
        ),
    ],
    ids=["number", "in-braces", "plain", "quoted", "new-map"],
)
def test_one_place_changes(path: str, value: object, old: str, new: str) -> None:
    steps = ("config", "datalab:common", *path.split("."))
    assert stackfile.with_value(TEXT, steps, value) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("a: {}\n", "a: {b: 1}\n"),
        ("a:\n", "a: {b: 1}\n"),
        ("a:  # why\nc: 1\n", "a: {b: 1}  # why\nc: 1\n"),
        ("a: ~\n", "a: {b: 1}\n"),
        ("c: 1", "c: 1\na:\n  b: 1\n"),
        ("\ufeffc: 1\r\n# end\r\n", "\ufeffc: 1\r\n# end\r\na:\r\n  b: 1\r\n"),
        ("a:\n  c: |\n    text\n\nd: 1\n", "a:\n  c: |\n    text\n\n  b: 1\nd: 1\n"),
        ("x: &x 1\na:\n  c: *x\nd: 1\n", "x: &x 1\na:\n  c: *x\n  b: 1\nd: 1\n"),
        ("a:\n  c:\n  - 1\n  - 2  # two\n", "a:\n  c:\n  - 1\n  - 2  # two\n  b: 1\n"),
        ("---\na:\n  c: 1\n...\n", "---\na:\n  c: 1\n  b: 1\n...\n"),
    ],
    ids=[
        "empty-braces",
        "nothing",
        "nothing-and-comment",
        "null",
        "no-last-newline",
        "windows",
        "block-of-text",
        "alias-last",
        "list-last",
        "document-marks",
    ],
)
def test_layouts(text: str, new: str) -> None:
    assert stackfile.with_value(text, ("a", "b"), 1) == new
    assert stackfile.with_value(new, ("a", "b"), 1) == new


@pytest.mark.parametrize(
    "text",
    ["x: &x { c: 1 }\na: *x\n", "x: &x { c: 1 }\na: { <<: *x }\n", "a: [1]\n", "a: { b: [1] }\n"],
    ids=["alias", "merge", "list", "list-in-its-place"],
)
def test_what_would_change_more_is_left_to_a_person(text: str) -> None:
    with pytest.raises(Fault, match=r"b cannot be put .* write it yourself: 1$"):
        stackfile.with_value(text, ("a", "b"), 1)


def places(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every map of a document."""
    if not isinstance(node, dict):
        return []
    return [path, *(found for key in node for found in places(node[key], (*path, key)))]


@pytest.mark.slow
@settings(max_examples=40)
@given(st.data())
def test_every_map_of_a_stack_file_can_grow(data: st.DataObject) -> None:
    env = data.draw(st.sampled_from(("dev", "lab")))
    text = stackfile.read(sample_file(env))
    path = data.draw(st.sampled_from(places(yaml.safe_load(text))))
    value = data.draw(
        st.recursive(
            st.text(max_size=8) | st.integers() | st.booleans(),
            lambda leaf: (
                st.lists(leaf, max_size=2)
                | st.dictionaries(st.from_regex("[a-z]{1,3}", fullmatch=True), leaf, max_size=2)
            ),
            max_leaves=4,
        )
    )
    new = stackfile.with_value(text, (*path, "new_key"), value)
    assert yaml.safe_load(new) == put(yaml.safe_load(text), path, value)
    rest = iter(new)
    assert all(letter in rest for letter in text)


def test_what_yaml_takes_for_the_end_of_a_line_comes_back_as_it_was() -> None:
    new = stackfile.with_value("config:\n  a: b\n", ("config", "c"), "\x85\u2028\u00fc")
    assert yaml.safe_load(new) == {"config": {"a": "b", "c": "\x85\u2028\u00fc"}}


def put(document: Any, path: tuple[str, ...], value: object) -> Any:
    """The document with a new key."""
    node = document
    for step in path:
        node = node[step]
    node["new_key"] = value
    return document


@pytest.mark.slow
def test_a_rotation_changes_one_line(checkout: Checkout) -> None:
    assert checkout.lab("init", "dev") == 0
    file = checkout.root / "Pulumi.dev.yaml"
    file.chmod(0o600)
    before = file.read_text().splitlines()
    for number in (2, 3):
        assert checkout.lab("secrets", "rotate", "vault-foundation", "dev", "--yes") == 0
        lines = file.read_text().splitlines()
        assert [line for line in lines if line not in before] == [
            "    generations:",
            f"      vault-foundation: {number}",
        ]
        assert load_file(file).common.generations == {"vault-foundation": number}
    assert file.stat().st_mode & 0o777 == 0o600
