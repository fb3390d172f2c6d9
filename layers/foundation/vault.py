"""Vault: the server, and what is in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_vault as vault

from places import Container, File, Health, Place, Port, Role, Workload
from places.templates import render
from settings import images
from settings.foundation.vault import Vault as VaultSettings

FILES = Path(__file__).parent / "files" / "vault"
BOOTSTRAP = FILES / "bootstrap.sh"
INNER_PORT = 8200
# The layers above, each with an identity and a policy of its own.
IDENTITIES = ("platform", "services", "apps")
# Who takes the nightly snapshots, in `lab`; its policy is of the same name.
SNAPSHOT = "snapshot"
BINARIES = {"vault": "vault", "openbao": "bao"}


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """The password of SNAPSHOT, and where snapshots go: the store, and Vault's own user there."""

    password: pulumi.Output[str]
    endpoint: str
    region: str
    access_key: str
    secret_key: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class VaultArgs:
    """The server's settings, certificate (PEM) and the foundation's own password.

    snapshots is None in a container, which takes none.
    """

    settings: VaultSettings
    place: Place
    publish: str  # the address that containers publish ports on
    host: str  # the name that clients call it by
    password: pulumi.Input[str]
    ca: pulumi.Input[str]
    certificate: pulumi.Input[str]
    key: pulumi.Input[str]
    snapshots: Snapshots | None


class Vault(pulumi.ComponentResource):
    """The server; `ready` is known once it is unsealed and knows the foundation's identity."""

    ready: pulumi.Output[str]

    def __init__(self, name: str, args: VaultArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:foundation:Vault", name, None, opts)
        workload = Workload(
            container=_container(args), machine=args.settings.machine, roles=_roles(args)
        )
        self.ready = args.place.run(self, name, workload)
        self.register_outputs({"ready": self.ready})


def _container(args: VaultArgs) -> Container | None:
    size = args.settings.container
    if size is None:
        return None
    return Container(
        image=images.image(args.settings.engine),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        # bootstrap.sh keeps the unseal key from the server, which it starts as the image's user.
        # Stated, as OpenBao's newer images start as that user themselves.
        user="0:0",
        entrypoint=["/bin/sh", "/etc/vault/bootstrap.sh"],
        environment={
            "VAULT_BINARY": BINARIES[args.settings.engine],
            "VAULT_UNSEAL": args.settings.unseal,
            "VAULT_ADDR": "https://127.0.0.1:8202",  # the listener for bootstrap.sh only
            "VAULT_CACERT": "/etc/vault/ca.crt",
        },
        files={
            "/etc/vault/bootstrap.sh": File(content=BOOTSTRAP.read_text(encoding="utf-8")),
            "/etc/vault/ca.crt": File(content=args.ca),
            "/etc/vault/foundation.hcl": File(content=policy("foundation")),
            "/etc/vault/foundation.password": File(content=args.password, mode="0600"),
            "/etc/vault/tls.crt": File(content=args.certificate),
            "/etc/vault/tls.key": File(content=args.key, mode="0600"),
            "/etc/vault/vault.hcl": File(content=_configuration(args, INNER_PORT)),
        },
        volumes={"vault-data": "/var/lib/vault"},
        ports=[Port(inside=INNER_PORT, outside=args.settings.port, address=args.publish)],
        # Healthy is: initialised, unsealed, and the foundation's identity in place.
        health=Health(test=("CMD", "/bin/sh", "/etc/vault/bootstrap.sh", "healthy")),
    )


def _configuration(args: VaultArgs, port: int) -> pulumi.Output[str]:
    values = {"host": args.host, "port": port, "engine": args.settings.engine}
    return render(FILES / "vault.hcl.j2", values)


def _roles(args: VaultArgs) -> list[Role]:
    snapshots = args.snapshots
    if snapshots is None:
        return []
    role = Role(
        name="vault",
        variables={
            "vault_engine": args.settings.engine,
            "vault_download": images.download(args.settings.engine).model_dump(),
            "vault_unseal": args.settings.unseal,
            "vault_port": args.settings.port,
            "vault_config": _configuration(args, args.settings.port),
            "vault_bootstrap": BOOTSTRAP.read_text(encoding="utf-8"),
            "vault_policy": policy("foundation"),
            "vault_password": args.password,
            "vault_certificate": args.certificate,
            "vault_key": args.key,
            "vault_ca": args.ca,
            "vault_snapshot": (FILES / "snapshot.sh").read_text(encoding="utf-8"),
            "vault_snapshot_password": snapshots.password,
            "vault_store": {
                "endpoint": snapshots.endpoint,
                "region": snapshots.region,
                "access_key": snapshots.access_key,
                "secret_key": snapshots.secret_key,
            },
        },
    )
    return [role]


def policy(name: str) -> str:
    """The policy of a layer's identity."""
    return (FILES / "policies" / f"{name}.hcl").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class VaultContentsArgs:
    """passwords: the name of an identity, which is that of its policy -> its password."""

    passwords: Mapping[str, pulumi.Output[str]]
    protect: bool


class VaultContents(pulumi.ComponentResource):
    """The key-value store, and for each layer above an identity that may do its own part."""

    def __init__(
        self, name: str, args: VaultContentsArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:foundation:VaultContents", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        vault.Mount(
            "kv-mount",
            path="kv",
            type="kv-v2",
            description="kv/infra/<layer>/<service> and kv/projects/<project id>/<kind>/<name>",
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        for layer in args.passwords:
            allowed = vault.Policy(f"{layer}-policy", name=layer, policy=policy(layer), opts=child)
            vault.generic.Endpoint(
                f"{layer}-identity",
                path=f"auth/userpass/users/{layer}",
                # Vault never reads a password back.
                disable_read=True,
                ignore_absent_fields=True,
                data_json=pulumi.Output.json_dumps(
                    {
                        "password": args.passwords[layer],
                        "token_policies": [layer],
                        "token_ttl": "1h",
                    },
                    sort_keys=True,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
            )
        self.register_outputs({})
