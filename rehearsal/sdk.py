"""What the installed SDK packages say of each resource type: names, types, required, secret.

Nothing is written twice: a property that the SDK does not know is unknown to the stand-ins too.
A type is looked at when it is first used; importing all ten packages at once would take seconds.
"""

import importlib
import inspect
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from pulumi import _types

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
# Both forms in which the generated code marks a property as secret.
_SECRET_OUTPUTS = re.compile(r"additional_secret_outputs=(\[[^]]*])")
_SECRET_INPUT = re.compile(r'__dict__\["(\w+)"] = None if \w+ is None else pulumi\.Output\.secret')


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A resource type as its SDK class declares it, with the names of the wire."""

    token: str
    inputs: type  # the class of its arguments
    outputs: frozenset[str]  # every property that a program can read
    secrets: frozenset[str]


def module_name(package: str) -> str:
    """The import name of a package's SDK."""
    return f"pulumi_{package.replace('-', '_')}"


def version(package: str) -> str:
    """The installed SDK's version, which the engine compares with the plugin's."""
    return metadata.version(module_name(package).replace("_", "-"))


@cache
def _classes(package: str) -> Mapping[str, tuple[str, str]]:
    """Token -> (module, class name), from the registration at the end of the package."""
    found = util.find_spec(module_name(package))
    if found is None or found.origin is None:
        raise LookupError(f"the SDK package {module_name(package)} is not installed")
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
def shape(package: str, token: str) -> Shape | None:
    """The shape of a type; None where the package has no such type."""
    if token not in _classes(package):
        return None
    module, name = _classes(package)[token]
    with warnings.catch_warnings():  # the program gets these, for what it uses itself
        warnings.simplefilter("ignore", DeprecationWarning)
        space = importlib.import_module(module)  # lazy: its classes come with the next line
        resource, inputs = getattr(space, name), getattr(space, f"{name}Args")
    names = _types.input_type_py_to_pulumi_names(inputs)
    source = inspect.getsource(resource._internal_init)
    secrets = {names.get(found, found) for found in _SECRET_INPUT.findall(source)}
    for found in _SECRET_OUTPUTS.findall(source):
        secrets |= set(json.loads(found))
    return Shape(
        token=token,
        inputs=inputs,
        outputs=frozenset(_types.resource_types(resource)),
        secrets=frozenset(secrets),
    )


@cache
def properties(inputs: type) -> Mapping[str, Any]:
    """Wire name -> annotated type, of a class of arguments."""
    return dict(_types.input_type_types(inputs))


@cache
def required(inputs: type) -> frozenset[str]:
    """Wire names of the arguments that must be given."""
    names = _types.input_type_py_to_pulumi_names(inputs)
    parameters = inspect.signature(inputs).parameters.values()
    return frozenset(names[p.name] for p in parameters if p.default is inspect.Parameter.empty)
