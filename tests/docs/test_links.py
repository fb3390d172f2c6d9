"""Every page is linked from the index, and every relative link leads to something."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CHANGES = ROOT / "CHANGELOG.md"
PAGES = [
    README,
    CHANGES,
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def targets(page: Path) -> list[str]:
    """The relative links of a page, those in examples of code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [to for to in LINK.findall(text) if not re.match(r"[a-z]+:", to)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in targets(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def tables(page: Path) -> list[list[str]]:
    """The tables of a page, each a list of its lines; examples of code left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return [found.splitlines() for found in re.findall(r"^\|.*(?:\n\|.*)*", text, re.MULTILINE)]


def cells(row: str) -> int:
    """How many cells a row has: a bar inside of one, in code too, has a backslash before it."""
    return len(re.findall(r"(?<!\\)\|", row)) - 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_has_as_many_cells_as_its_header(page: Path) -> None:
    wrong = [row for table in tables(page) for row in table if cells(row) != cells(table[0])]
    assert wrong == []


def test_tables_are_found() -> None:
    assert sum(map(len, map(tables, PAGES))) > 20


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in targets(index)}
    unlinked = [page for page in (ROOT / "docs").rglob("*.md") if page not in {*linked, index}]
    assert unlinked == []
    assert index.resolve() in {(ROOT / to.partition("#")[0]).resolve() for to in targets(README)}


def test_the_readme_is_one_screen_and_names_what_is_needed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 90
    part = text.partition("## What it needs")[2].partition("\n## ")[0]
    for word in ("memory", "disk", "minutes", "Proxmox VE 8.4"):
        assert word in part


def test_the_changelog_says_first_what_people_must_do() -> None:
    """The newest release is the one that `./lab --version` says."""
    releases = CHANGES.read_text(encoding="utf-8").split("\n## ")[1:]
    assert releases
    for release in releases:
        assert re.findall(r"^### (.+)$", release, re.MULTILINE)[0] == "What you must do"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert releases[0].startswith(project["version"])


def test_names_in_examples_carry_their_projects_own() -> None:
    """A name is the whole lab's: what everybody would call it is taken by the first (#10.32)."""
    examples = [ROOT / "docs/external-projects.md", *ROOT.glob("examples/*/.gitlab-ci.yml")]
    assert len(examples) > 1
    for file in examples:
        text = file.read_text(encoding="utf-8")
        names = re.findall(r"\b(?:db_name|db_user|topic|group): ([\w.-]+)", text)
        assert names
        assert [name for name in names if not name.startswith("my_project_")] == []
