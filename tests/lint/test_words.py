"""Names, comments, messages and docs are in the plain English of the field."""

import re
from pathlib import Path

import pytest
import yaml

from tests.lint.test_lint import ROOT, files

LIST = Path(__file__).with_name("words.yaml")
WORDS: dict[str, str] = yaml.safe_load(LIST.read_text())
KINDS = {".py", ".md", ".yml", ".yaml", ".j2", ".html", ".js", ".hcl", ".toml", ".sh", ".go", ""}
# The licence is not ours to write. What a lab holds already would be changed by a comment in it.
OTHERS = ("LICENSE", "layers/foundation/files/", "layers/platform/files/", "layers/services/files/")
# Part of a name counts, as in `mend_state`; of a word, as in `besides`, it does not.
FOUND = re.compile(rf"(?<![a-z])({'|'.join(WORDS)})(?![a-z])", re.IGNORECASE)


def looked_at(path: Path) -> bool:
    """Whether a file holds our own words."""
    name = str(path.relative_to(ROOT))
    return (
        path.suffix in KINDS and path not in {LIST, Path(__file__)} and not name.startswith(OTHERS)
    )


def found(text: str) -> list[str]:
    """The words of the list in a text."""
    return [match[1].lower() for match in FOUND.finditer(text)]


def test_no_word_of_the_list() -> None:
    said = []
    for name in files(looked_at):
        lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            said += [
                f"{Path(name).relative_to(ROOT)}:{number}: {word}; write: {WORDS[word]}"
                for word in found(line)
            ]
    assert said == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Mends what is broken", ["mends"]),
        ("def mend_state():", ["mend"]),
        ("and recommends what is besides it", []),
        ("nobody stands on it", ["stands on"]),
    ],
)
def test_a_word_is_found_whole(text: str, words: list[str]) -> None:
    assert found(text) == words
