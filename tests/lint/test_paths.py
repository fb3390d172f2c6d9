"""A path that a comment, a docstring, a message or a page names is there.

After a folder was renamed, three files sent their readers to where nothing was.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.lint.test_lint import ROOT, files

ENDINGS = "cfg|conf|hcl|html|in|j2|js|json|md|py|rb|sh|sql|toml|txt|yaml|yml"
PATH = re.compile(rf"(?<![\w./:${{}}<>*@~-])((?:\.?[\w-]+/)+[\w.-]+\.(?:{ENDINGS}))(?![\w*{{<$/-])")
COMMENT = re.compile(r"(?:^|\s)(?:#|//|;|--|/\*|\{#)(.*)")
# Sources of what the lab runs, and what a run writes.
OTHERS = frozenset(Path(__file__).with_name("paths.txt").read_text().split())


def looked_at(path: Path) -> bool:
    """What people write; what tests compare with is made from it."""
    return path.name != "LICENSE" and "golden" not in path.parts


@cache
def there() -> frozenset[str]:
    """Every path of the checkout, also as those write it who are in a folder above the file."""
    found = set()
    for name in files(lambda _: True):
        parts = Path(name).relative_to(ROOT).parts
        found |= {"/".join(parts[start:]) for start in range(len(parts))}
    return frozenset(found)


def said(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that speak to its reader, by number."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            whole = token.type == tokenize.STRING and '"""' in token.string
            if token.type == tokenize.COMMENT or whole:
                yield from enumerate(token.string.splitlines(), token.start[0])
    else:
        for number, line in enumerate(text.splitlines(), 1):
            comment = COMMENT.search(line)
            if path.suffix == ".md":
                yield number, line
            elif comment:
                yield number, comment[1]


def lost(line: str) -> list[str]:
    """The paths in a line that lead nowhere; a part in capitals is for the reader to put in."""
    return [
        path
        for path in PATH.findall(line)
        if path not in there() | OTHERS and not re.search(r"(?:^|/)[A-Z]+(?:/|\.\w+$)", path)
    ]


def test_every_path_that_is_named_is_there() -> None:
    wrong = [
        f"{Path(name).relative_to(ROOT)}:{number}: {path}"
        for name in files(looked_at)
        for number, line in said(Path(name))
        for path in lost(line)
    ]
    assert wrong == []


def test_every_path_of_another_project_is_named() -> None:
    named = "\n".join(line for name in files(looked_at) for _, line in said(Path(name)))
    assert [path for path in sorted(OTHERS) if path not in named] == []


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("Used by the program (places/ansible.py)", ["places/ansible.py"]),
        ("see targets/ansible.py and files/vault.hcl.j2", ["files/vault.hcl.j2"]),
        ("`settings/services/NAME.py`, https://host/a/b.py, /etc/a/b.conf", []),
    ],
)
def test_a_path_is_found(line: str, paths: list[str]) -> None:
    assert lost(line) == paths
