"""What the installed SDK packages say of each resource type: names, types, required, secret.

Nothing is written twice: a property that the SDK does not know is unknown to the simulators too.
It is read from the generated code, as pulumi has no public way to ask for it. A type is looked at
when it is first used; importing all packages at once would take seconds.
"""

import importlib
import inspect
import json
import re
import sys
import threading
import typing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pulumi

PACKAGES = (
    "command",
    "docker",
    "gitlab",
    "minio",
    "postgresql",
    "proxmoxve",
    "random",
    "tls",
    "vault",
)
_GETTER = re.compile(
    r'@pulumi\.getter(?:\(name="(\w+)"\))?\s+'
    r'(?:@_utilities\.deprecated\(""".*?"""\)\s+)?def (\w+)\('
)
# What pulumi.Input's own annotation names.
_LATER = {"Output": pulumi.Output, "T": Any}
# Both forms in which the generated code marks a property as secret.
_SECRET_OUTPUTS = re.compile(r"additional_secret_outputs=(\[[^]]*])")
_SECRET_INPUT = re.compile(r'__dict__\["(\w+)"] = None if \w+ is None else pulumi\.Output\.secret')

_READING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A resource type as its SDK class declares it, with the names of the wire."""

    inputs: type  # the class of its arguments
    outputs: frozenset[str]  # every property that a program can read
    secrets: frozenset[str]


def version(package: str) -> str:
    """The installed SDK's version, which the engine compares with the plugin's."""
    return metadata.version(f"pulumi-{package}")


@cache
def _classes(package: str) -> Mapping[str, tuple[str, str]]:
    """Token -> (module, class name), from the registration at the end of the package."""
    found = util.find_spec(f"pulumi_{package}")
    if found is None or found.origin is None:
        raise LookupError(f"the SDK package pulumi_{package} is not installed")
    text = Path(found.origin).read_text(encoding="utf-8")
    modules, packages = (
        json.loads(re.search(rf'{name}="""(.*?)"""', text, re.DOTALL)[1])  # type: ignore[index]
        for name in ("resource_modules", "resource_packages")
    )
    tokens = {
        token: (row["fqn"], name) for row in modules for token, name in row["classes"].items()
    }
    return tokens | {row["token"]: (row["fqn"], row["class"]) for row in packages}


@cache
def _sources(module: str) -> Mapping[str, str]:
    """Class name -> its text. inspect.getsource would parse the whole file for each."""
    text = Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")
    _, *parts = re.split(r"^class (\w+)", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _source(class_: type) -> str:
    return _sources(class_.__module__)[class_.__name__]


@cache
def _names(class_: type) -> Mapping[str, str]:
    """Python name -> wire name of a class's properties."""
    return {python: wire or python for wire, python in _GETTER.findall(_source(class_))}


@cache
def shape(package: str, token: str) -> Shape | None:
    """The shape of a type; None where the package has no such type."""
    if token not in _classes(package):
        return None
    module, name = _classes(package)[token]
    # A second thread would find a module that the first is still reading half empty.
    with _READING, warnings.catch_warnings():  # the program gets these, for what it uses itself
        warnings.simplefilter("ignore", DeprecationWarning)
        space = importlib.import_module(module)  # lazy: its classes come with the next line
        resource, inputs = getattr(space, name), getattr(space, f"{name}Args")
    source, names = _source(resource), _names(inputs)
    secrets = {names.get(found, found) for found in _SECRET_INPUT.findall(source)}
    for found in _SECRET_OUTPUTS.findall(source):
        secrets |= set(json.loads(found))
    return Shape(
        inputs=inputs, outputs=frozenset(_names(resource).values()), secrets=frozenset(secrets)
    )


@cache
def properties(inputs: type) -> Mapping[str, Any]:
    """Wire name -> annotated type, of a class of arguments."""
    return {
        wire: typing.get_type_hints(getattr(inputs, python).fget, localns=_LATER)["return"]
        for python, wire in _names(inputs).items()
    }


@cache
def required(inputs: type) -> frozenset[str]:
    """Wire names of the arguments that must be given."""
    parameters = inspect.signature(inputs).parameters.values()
    missing = (p.name for p in parameters if p.default is inspect.Parameter.empty)
    return frozenset(_names(inputs)[name] for name in missing)
