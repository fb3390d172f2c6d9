"""Which part of the program may import which: downwards alone, and nothing by a string."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.lint.test_lint import ROOT, files

# Part -> what it may import besides itself. What people run stands at the end.
PARTS: Mapping[str, frozenset[str]] = {
    part: frozenset(below.split())
    for part, below in {
        "toolchain": "",
        "provision": "",
        "settings": "provision",
        "targets": "settings",
        "layers": "settings targets",
        "cli.lib": "settings layers targets provision toolchain",
        "cli.ci": "settings layers targets provision toolchain cli.lib",
        "rehearsal": "settings layers toolchain cli.lib",
        "cli.commands.rehearse": "settings layers cli.lib rehearsal",
        "cli": "settings layers targets provision toolchain cli.lib cli.ci",
        "docs": "settings cli cli.lib rehearsal",
        "bench": "layers cli.lib rehearsal",
        "__main__": "settings layers",
    }.items()
}
# What the rehearsal takes of the command line.
OF_CLI = {"backend", "effects", "fault", "plan", "pulumi", "removals", "repair"}
# Who may import by a name that is made at run time, and why.
BY_NAME = {
    "__main__": "the layer that the stack's name says",
    "layers.context": "every service's component: the modules of layers that have its name",
    "rehearsal.acting": "the acts of a package: each needs a library that takes its time",
    "rehearsal.mocks": "the same, without an engine",
    "rehearsal.sdk": "the SDK's module of a resource type: ten packages take seconds",
    "cli.main": "the verb that was asked for: a module of cli/commands",
    "provision.__main__": "the kind that was asked for: a module of provision",
    "settings.declarations": "every service's declaration: the modules of settings/<layer>",
}


@cache
def modules() -> Mapping[str, ast.Module]:
    """Every module of the program by name; a benchmark is a module too."""
    folders = {name.partition(".")[0] for name in PARTS}
    found = {}
    listed = files(lambda path: path.suffix == ".py" or path.parent == ROOT / "bench")
    for file in map(Path, listed):
        name = str(file.relative_to(ROOT).with_suffix(""))
        dotted = name.removesuffix("/__init__").replace("/", ".")
        if dotted.partition(".")[0] in folders:
            found[dotted] = ast.parse(file.read_text())
    assert len(found) > 150
    return found


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything in a tree that is run: nothing that is for the checker of types alone."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield from nodes(child)


def names(those: Iterable[ast.AST]) -> Iterator[str]:
    """Every module that these nodes of a file import, in functions too."""
    for node in those:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else str(node.module)


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Module -> the program's modules that it imports."""
    return {
        name: frozenset(names(nodes(tree))) & modules().keys() - {name}
        for name, tree in modules().items()
    }


def part(module: str) -> str:
    """The part that a module belongs to."""
    inside = [name for name in PARTS if f"{module}.".startswith(f"{name}.")]
    return max(inside, key=len)


def test_parts_import_downwards() -> None:
    wrong = [
        f"{module} -> {found}"
        for module, those in imports().items()
        for found in those
        if part(found) != part(module)
        and part(found) not in PARTS[part(module)]
        # `./lab` knows its verbs by the folder, and a verb may use another's function.
        and not (part(module) == "cli" and found == "cli.commands")
    ]
    assert wrong == []


def test_nothing_imports_the_tests() -> None:
    """Docs and benchmarks neither; what needs the tests' servers is run from tests/."""
    found = [
        module
        for module, tree in modules().items()
        if "tests" in {name.partition(".")[0] for name in names(nodes(tree))}
    ]
    assert found == []


def test_no_modules_import_each_other() -> None:
    """In functions neither."""
    left = {module: set(those) for module, those in imports().items()}
    while True:
        importing = {module for module, those in left.items() if those & left.keys()}
        imported = set().union(*left.values())
        kept = importing & imported
        if kept == left.keys():
            break
        left = {module: left[module] & kept for module in kept}
    assert left.keys() == set()


def test_the_rehearsal_takes_five_modules_of_the_command_line() -> None:
    taken = {
        found.removeprefix("cli.lib.")
        for module, those in imports().items()
        if part(module) == "rehearsal"
        for found in those
        if found.startswith("cli.")
    }
    assert taken == OF_CLI


def test_nothing_is_imported_by_a_string() -> None:
    callers = set()
    for module, tree in modules().items():
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", None) or getattr(called, "id", None)
            if name in ("import_module", "__import__"):
                callers.add(module)
    assert callers == set(BY_NAME)


def test_nothing_private_of_pulumi_is_used_in_the_rehearsal() -> None:
    found = [
        f"{module}: {name}"
        for module, tree in modules().items()
        if part(module) == "rehearsal" and module != "rehearsal.mocks"
        for name in names(nodes(tree))
        if name.startswith("pulumi.") and "._" in name
    ]
    assert found == []
