"""Run layers of the real program under Pulumi mocks and say what they registered."""

import asyncio
import contextlib
import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import mocks, rpc

from layers import LAYERS
from settings import PROJECT, SECRET_KEYS, Settings, load
from settings.program import configuration
from tests.harness.computed import computed, identifier
from tests.harness.patched import patched

SECRET = {rpc._special_sig_key: rpc._special_secret_sig}


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One registered resource; `inputs` are plain, `secret` names the top-level secret ones."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str  # URN
    provider: str  # URN::id
    dependencies: frozenset[str]  # URNs
    protect: bool
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    ignore_changes: tuple[str, ...]
    replace_with: tuple[str, ...]  # URNs
    inputs: dict[str, Any]
    secret: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What one layer registered and exported; `secret_outputs` names its secret outputs."""

    layer: str
    settings: Settings
    resources: list[Registered]
    outputs: dict[str, Any] = field(repr=False)
    secret_outputs: frozenset[str]

    def all(self, type_: str) -> list[Registered]:
        """Every resource of a type, given in full or by its last part."""
        return [r for r in self.resources if type_ in {r.type, r.type.rpartition(":")[2]}]

    def one(self, type_: str, name: str) -> Registered:
        """The resource of a type with a name; AssertionError listing the names if there is none."""
        found = {r.name: r for r in self.all(type_)}
        assert name in found, f"no {type_} {name} among {sorted(found)}"
        return found[name]


class _Mocks(pulumi.runtime.Mocks):
    def __init__(self, upstream: Mapping[str, Deployed], environment: str):
        self.upstream = upstream
        self.environment = environment

    def new_resource(
        self, args: pulumi.runtime.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        if args.typ == "pulumi:pulumi:StackReference":
            layer = args.name.rpartition("-")[2]
            lower = self.upstream.get(layer)
            return args.name, {
                "name": args.name,
                "outputs": lower.outputs if lower else {},
                "secretOutputNames": sorted(lower.secret_outputs) if lower else [],
            }
        if not args.custom:
            return "", {}
        inputs = {key: plain(value) for key, value in args.inputs.items()}
        return identifier(args.typ, args.name), {
            **args.inputs,
            **computed(args.typ, args.name, inputs),
        }

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise NotImplementedError(
            f"the program called {args.token}: say in the harness what it gets"
        )


class _Monitor(mocks.MockMonitor):
    def __init__(self, answers: _Mocks):
        super().__init__(answers)
        self.registered: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type == "pulumi:pulumi:Stack":
            return response
        inputs = rpc.deserialize_properties(request.object)
        self.registered.append(
            Registered(
                urn=response.urn,
                type=request.type,
                name=request.name,
                custom=request.custom,
                parent=request.parent,
                provider=request.provider,
                dependencies=frozenset(request.dependencies),
                protect=request.protect,
                delete_before_replace=request.deleteBeforeReplace,
                replace_on_changes=tuple(request.replaceOnChanges),
                ignore_changes=tuple(request.ignoreChanges),
                replace_with=tuple(request.replace_with),
                inputs={key: plain(value) for key, value in inputs.items()},
                secret=frozenset(k for k, value in inputs.items() if rpc.is_rpc_secret(value)),
            )
        )
        for name in request.additionalSecretOutputs:
            if name in response.object.fields:
                wrapped = struct_pb2.Struct(fields={"value": response.object.fields[name]})
                wrapped.update(SECRET)
                response.object.fields[name].struct_value.CopyFrom(wrapped)
        return response


def plain(value: Any) -> Any:
    """`value` without its secret wrappers."""
    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def stack_config(environment: str, change: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The sample settings of an environment with single values changed.

    change maps a key below `datalab:` in dotted form to its new value; None removes it.
    """
    changes = change or {}
    return patched(
        environment,
        {key: value for key, value in changes.items() if value is not None},
        [key for key, value in changes.items() if value is None],
    )


@contextlib.contextmanager
def _configured(environment: str, config: Mapping[str, Any]) -> Iterator[None]:
    values = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
        if key.startswith(f"{PROJECT}:") and "secure" not in value
    }
    secrets = {f"{PROJECT}:{name}" for name in SECRET_KEYS}
    token = "root@pam!datalab=00000000-0000-0000-0000-000000000000"
    pulumi.runtime.set_all_config({f"{PROJECT}:proxmoxApiToken": token, **values}, list(secrets))
    yield
    pulumi.runtime.set_all_config({})


def deploy_layer(
    layer: str,
    environment: str,
    config: Mapping[str, Any],
    upstream: Mapping[str, Deployed],
    *,
    preview: bool = False,
) -> Deployed:
    """Run one layer's program; `upstream` are the layers below, by name."""
    answers = _Mocks(upstream, environment)
    monitor = _Monitor(answers)
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(
        answers, PROJECT, f"{environment}-{layer}", preview=preview, monitor=monitor
    )
    outputs: dict[str, Any] = {}
    secret: set[str] = set()
    found: list[Settings] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> Any:
        # The stack is one for the whole process, and keeps what earlier layers exported.
        getattr(pulumi.runtime.get_root_resource(), "outputs", {}).clear()
        settings, secrets = configuration(environment)
        found.append(settings)
        importlib.import_module(f"layers.{layer}").deploy(environment, settings, secrets)
        return asyncio.ensure_future(_resolve(outputs, secret))

    with _configured(environment, config):
        program()
    return Deployed(
        layer=layer,
        settings=found[0],
        resources=monitor.registered,
        outputs=outputs,
        secret_outputs=frozenset(secret),
    )


async def _resolve(outputs: dict[str, Any], secret: set[str]) -> None:
    root = pulumi.runtime.get_root_resource()
    exported = getattr(root, "outputs", {})
    for name, value in exported.items():
        output = pulumi.Output.from_input(value)
        outputs[name] = await output.future()
        if await output.is_secret():
            secret.add(name)


def deploy(
    environment: str,
    change: Mapping[str, Any] | None = None,
    *,
    layers: tuple[str, ...] = LAYERS,
    preview: bool = False,
) -> dict[str, Deployed]:
    """Run the layers of an environment in order, each on the outputs of those below."""
    config = stack_config(environment, change)
    done: dict[str, Deployed] = {}
    for layer in layers:
        done[layer] = deploy_layer(layer, environment, config, done, preview=preview)
    return done


def shared(
    environment: str,
    change: Mapping[str, Any] | None = None,
    *,
    layers: tuple[str, ...] = LAYERS,
    preview: bool = False,
) -> dict[str, Deployed]:
    """As `deploy`, but run once for all tests that ask for the same, which must not change it.

    Not for a test that patches the program: the others would get what it made.
    """
    key = json.dumps(change or {}, sort_keys=True)
    return {layer: _shared(layer, environment, key, preview) for layer in layers}


@cache
def _shared(layer: str, environment: str, change: str, preview: bool) -> Deployed:
    below = shared(
        environment,
        json.loads(change),
        layers=LAYERS[: LAYERS.index(layer)],
        preview=preview,
    )
    config = stack_config(environment, json.loads(change))
    return deploy_layer(layer, environment, config, below, preview=preview)


def deploy_on_sample(layer: str, environment: str, change: Mapping[str, Any]) -> Deployed:
    """One layer with changed settings, on the lower layers of the sample: for what is its own."""
    allow = {"common.unpinned_downloads": "allow"}
    below = shared(environment, allow, layers=LAYERS[: LAYERS.index(layer)])
    return deploy_layer(layer, environment, stack_config(environment, {**allow, **change}), below)


def settings_of(environment: str, change: Mapping[str, Any] | None = None) -> Settings:
    """The sample settings of an environment with single values changed; see stack_config."""
    return load(stack_config(environment, change), f"Pulumi.{environment}.yaml")
