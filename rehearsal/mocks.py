"""The program without an engine: layers run under Pulumi's mocks, and what they registered."""

import asyncio
import contextlib
import importlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import mocks, rpc

from layers import LAYERS
from rehearsal.wire import SECRET, SIGNATURE
from settings import PROJECT, SECRET_KEYS, Settings
from settings.program import configuration
from settings.stackfile import is_secret

Inputs = dict[str, Any]


def _key(name: str, _: Inputs) -> dict[str, Any]:
    pem = f"-----BEGIN PRIVATE KEY-----\n{name}\n-----END PRIVATE KEY-----\n"
    private = dict.fromkeys(("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"), pem)
    return {**private, "publicKeyOpenssh": f"ssh-ed25519 {name}\n"}


def _certificate(name: str, _: Inputs) -> dict[str, Any]:
    return {"certPem": f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n"}


COMPUTED: dict[str, Callable[[str, Inputs], dict[str, Any]]] = {
    "random:index/randomPassword:RandomPassword": lambda name, inputs: {
        "result": f"{name}-".ljust(int(inputs["length"]), "x"),
        "bcryptHash": f"$2a$10${name}",
    },
    "random:index/randomId:RandomId": lambda _, inputs: {
        "hex": "00" * int(inputs["byteLength"]),
        "b64Url": "A" * 22,
    },
    "tls:index/privateKey:PrivateKey": _key,
    "tls:index/selfSignedCert:SelfSignedCert": _certificate,
    "tls:index/locallySignedCert:LocallySignedCert": _certificate,
    "tls:index/certRequest:CertRequest": lambda name, _: {"certRequestPem": name},
    "docker:index/remoteImage:RemoteImage": lambda name, inputs: {
        "imageId": f"sha256:{name}",
        "repoDigest": f"{inputs['name']}@sha256:{name}",
    },
    "docker:index/image:Image": lambda name, inputs: {
        "baseImageName": inputs["imageName"],
        "repoDigest": f"{inputs['imageName']}@sha256:{name}",
    },
    "gitlab:index/userRunner:UserRunner": lambda name, _: {"token": f"glrt-{name}".ljust(25, "0")},
    "gitlab:index/pipelineTrigger:PipelineTrigger": lambda name, _: {
        "token": f"glptt-{name}".ljust(46, "0")
    },
    "gitlab:index/projectAccessToken:ProjectAccessToken": lambda name, _: {
        "token": f"glpat-{name}".ljust(26, "0")
    },
    "gitlab:index/project:Project": lambda _, inputs: {
        "pathWithNamespace": f"datalab/{inputs['path']}"
    },
    "command:local:Command": lambda *_: {"stdout": "", "stderr": ""},
    "vault:index/authBackend:AuthBackend": lambda name, _: {"accessor": f"auth_{name}_0000"},
    "vault:jwt/authBackend:AuthBackend": lambda name, _: {"accessor": f"auth_{name}_0000"},
}


def computed(type_: str, name: str, inputs: Inputs) -> dict[str, Any]:
    """Outputs of a resource beyond its inputs."""
    make = COMPUTED.get(type_)
    return make(name, inputs) if make else {}


def identifier(type_: str, name: str) -> str:
    """The id of a new resource; GitLab's are numbers."""
    return str(zlib.crc32(name.encode())) if type_.startswith("gitlab:") else f"{name}-id"


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
        """The resource of a type with a name; LookupError with the names if there is none."""
        found = {r.name: r for r in self.all(type_)}
        if name not in found:
            raise LookupError(f"no {type_} {name} among {sorted(found)}")
        return found[name]


class _Mocks(pulumi.runtime.Mocks):
    def __init__(self, upstream: Mapping[str, Deployed]):
        self.upstream = upstream

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
        raise NotImplementedError(f"the program called {args.token}: say here what it gets")


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
                wrapped.update({SIGNATURE: SECRET})
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


@contextlib.contextmanager
def _configured(config: Mapping[str, Any]) -> Iterator[None]:
    values = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
        if key.startswith(f"{PROJECT}:") and not is_secret(value)
    }
    secrets = {f"{PROJECT}:{name}" for name in SECRET_KEYS}
    token = "root@pam!datalab=00000000-0000-0000-0000-000000000000"  # noqa: S105 - of no server
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
    answers = _Mocks(upstream)
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

    with _configured(config):
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
    config: Mapping[str, Any],
    *,
    layers: tuple[str, ...] = LAYERS,
    preview: bool = False,
) -> dict[str, Deployed]:
    """Run the layers of an environment in order, each on the outputs of those below."""
    done: dict[str, Deployed] = {}
    for layer in layers:
        done[layer] = deploy_layer(layer, environment, config, done, preview=preview)
    return done
