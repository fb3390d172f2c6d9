"""What the pages tell people to type, to set and to look for is what the lab takes and says."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cli.main import names, parse
from docs.generate import FOLDER, PAGES
from settings import Settings, load, schema
from settings.declarations import SECRETS
from settings.faults import resolve
from tests.docs.test_links import CHANGES, README, ROOT
from tests.harness.patched import sample

WRITTEN = [
    README,
    CHANGES,
    *(page for page in sorted(FOLDER.rglob("*.md")) if str(page.relative_to(FOLDER)) not in PAGES),
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in WRITTEN}
COMMAND = re.compile(r"""\./lab ((?:"[^"\n]*"|[^\n`)#|>;&"])*)""")
SETTING = re.compile(rf"`((?:{'|'.join(Settings.model_fields)})\.[a-z_.]+)[:`]")
# Those that may not name keys of earlier releases.
NOW = [page for page in TEXTS if page != "CHANGELOG.md" and "/decisions/" not in page]
# What stands for a word of the reader's own.
WORDS = {"NAME": next(iter(SECRETS)), "ENV": "dev", "SERVICE": "kafka", "URL": "http://a/b"}


def test_all_are_found() -> None:
    assert sum(len(COMMAND.findall(text)) for text in TEXTS.values()) > 80
    assert sum(len(SETTING.findall(text)) for text in TEXTS.values()) > 40


@pytest.mark.parametrize("page", TEXTS)
def test_each_command_parses(page: str) -> None:
    for command in COMMAND.findall(TEXTS[page]):
        words = [WORDS.get(word, word) for word in shlex.split(command.replace("$old", "HEAD"))]
        if words[0] in ("help", "--version", "..."):  # which end the program; any verb
            continue
        if {"dev", "lab"} & set(words):  # the text may mention a verb alone
            verb, _ = parse(words)
            assert words[0] == verb.name, command
        else:
            assert words[0] in names(), command


def below(model: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """What a model has by that name: its own property, an entry of a map, of each alternative."""
    found = resolve(model, schema())
    for other in (*found.get("anyOf", []), *found.get("oneOf", [])):
        yield from below(other, name)
    if name in found.get("properties", {}):
        yield found["properties"][name]
    else:
        maps = [*found.get("patternProperties", {}).values(), found.get("additionalProperties")]
        yield from (entry for entry in maps if isinstance(entry, dict))


@pytest.mark.parametrize("page", NOW)
def test_each_setting_is_one(page: str) -> None:
    for key in SETTING.findall(TEXTS[page]):
        models = [schema()]
        for name in key.split("."):
            models = [entry for model in models for entry in below(model, name)]
        assert models, key


@pytest.mark.parametrize("page", ["docs/changing.md", "docs/your-data.md"])
def test_each_block_of_settings_loads(page: str) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", TEXTS[page], re.DOTALL | re.MULTILINE):
        assert load(merged(sample("lab"), yaml.safe_load(block)), page)


def merged(config: Any, more: Any) -> Any:
    """A configuration with another's values in it."""
    if not (isinstance(config, dict) and isinstance(more, dict)):
        return more
    return {**config, **{key: merged(config.get(key), more[key]) for key in more}}


def test_the_messages_to_look_for_are_said() -> None:
    """Those of docs/when-something-breaks.md, in the sources of who says them."""
    said = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("cli", "targets", "layers", "toolchain", ".ci")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".yml", ".sh", ".j2")
    )
    column = re.findall(r"^\| ([^|]*) \|", TEXTS["docs/when-something-breaks.md"], re.MULTILINE)
    messages = [text for row in column for text in re.findall(r"`([^`]* [^`]*)`", row)]
    # By OpenSSH, by the kernel, and with the name of a file in it.
    others = {"Host key verification failed", "no space left on device"}
    ours = [text for text in messages if text not in others]
    assert len(ours) > 6
    assert [text for text in ours if text not in said] == []


def test_a_lab_is_told_to_pin_before_it_comes_up() -> None:
    assert re.search(r"\./lab pin .*before the first `\./lab up lab`", TEXTS["README.md"])
