"""Vault: the server, and what is in it."""

from collections.abc import Sequence
from pathlib import Path

import pulumi
import pulumi_vault as vault

from layers import providers
from layers.context import Component, LayerContext
from settings import images
from settings.foundation.vault import Vault as Settings
from targets import Container, File, Health, Role, Workload
from targets.templates import render

FILES = Path(__file__).parent / "files" / "vault"
BOOTSTRAP = FILES / "bootstrap.sh"
INNER_PORT = 8200
# The layers above, each with an identity and a policy of its own.
IDENTITIES = ("platform", "services", "apps")
# Who takes the nightly snapshots, in `lab`; its policy is of the same name.
SNAPSHOT = "snapshot"
BINARIES = {"vault": "vault", "openbao": "bao"}


class Vault(Component):
    """The server; `ready` is known once it is unsealed and knows the foundation's identity."""

    TYPE = "datalab:foundation:Vault"

    ready: pulumi.Output[str]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        workload = Workload(
            container=_container(context),
            machine=context.get(Settings).machine,
            roles=_roles(context),
        )
        self.ready = context.place(self, name, workload)
        self.register_outputs({"ready": self.ready})


def _container(context: LayerContext) -> Container | None:
    settings, server = context.get(Settings), context.certificate("vault")
    size = settings.container
    if size is None:
        return None
    return Container(
        image=context.image(Settings),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        # bootstrap.sh keeps the unseal key from the server, which it starts as the image's user.
        # Stated, as OpenBao's newer images start as that user themselves.
        user="0:0",
        entrypoint=["/bin/sh", "/etc/vault/bootstrap.sh"],
        environment={
            "VAULT_BINARY": BINARIES[settings.engine],
            "VAULT_UNSEAL": settings.unseal,
            "VAULT_ADDR": "https://127.0.0.1:8202",  # the listener for bootstrap.sh only
            "VAULT_CACERT": "/etc/vault/ca.crt",
        },
        files={
            "/etc/vault/bootstrap.sh": File(content=BOOTSTRAP.read_text(encoding="utf-8")),
            "/etc/vault/ca.crt": File(content=context.ca),
            "/etc/vault/foundation.hcl": File(content=policy("foundation")),
            "/etc/vault/foundation.password": File(
                content=context.secret("vault-foundation"), mode="0600"
            ),
            "/etc/vault/tls.crt": File(content=server["certificate"]),
            "/etc/vault/tls.key": File(content=server["key"], mode="0600"),
            "/etc/vault/vault.hcl": File(content=_configuration(context, INNER_PORT)),
        },
        # bootstrap.sh gives the server its folder, becomes its user, and ends it.
        capabilities=("CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"),
        volumes={"vault-data": "/var/lib/vault"},
        ports=context.ports("vault"),
        # Healthy is: initialised, unsealed, and the foundation's identity in place.
        health=Health(test=("CMD", "/bin/sh", "/etc/vault/bootstrap.sh", "healthy")),
    )


def _configuration(context: LayerContext, port: int) -> pulumi.Output[str]:
    host, engine = context.endpoint("vault").inner_host, context.get(Settings).engine
    values = {"host": host, "port": port, "engine": engine}
    return render(FILES / "vault.hcl.j2", values)


def _roles(context: LayerContext) -> list[Role]:
    settings, server = context.get(Settings), context.certificate("vault")
    if settings.machine is None:
        return []
    role = Role(
        name="vault",
        variables={
            "vault_engine": settings.engine,
            "vault_download": images.download(settings.engine).model_dump(),
            "vault_unseal": settings.unseal,
            "vault_port": settings.port,
            "vault_config": _configuration(context, settings.port),
            "vault_bootstrap": BOOTSTRAP.read_text(encoding="utf-8"),
            "vault_policy": policy("foundation"),
            "vault_password": context.secret("vault-foundation"),
            "vault_certificate": server["certificate"],
            "vault_key": server["key"],
            "vault_ca": context.ca,
            "vault_snapshot": (FILES / "snapshot.sh").read_text(encoding="utf-8"),
            "vault_snapshot_password": context.secret("vault-snapshot"),
            "vault_store": {
                "endpoint": context.endpoint("store").inner_url,
                "region": context.settings.common.region,
                "access_key": "vault",
                "secret_key": context.secret("object-store-vault"),
            },
        },
    )
    return [role]


def policy(name: str) -> str:
    """The policy of a layer's identity."""
    return (FILES / "policies" / f"{name}.hcl").read_text(encoding="utf-8")


class VaultContents(Component):
    """The key-value store, and for each layer above an identity that may do its own part."""

    TYPE = "datalab:foundation:VaultContents"
    NAME = "vault-contents"

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """Vault's for the foundation, once it is unsealed."""
        login: providers.Login = {
            "username": "foundation",
            "password": context.secret("vault-foundation"),
        }
        ready = context.component(Vault).ready
        return [providers.vault(context.endpoint("vault"), login, context.trust, ready)]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        child = pulumi.ResourceOptions(parent=self)
        vault.Mount(
            "kv-mount",
            path="kv",
            type="kv-v2",
            description="kv/infra/<layer>/<service> and kv/projects/<project id>/<kind>/<name>",
            opts=pulumi.ResourceOptions(parent=self, protect=context.protect),
        )
        # A container takes no snapshots.
        snapshots = (SNAPSHOT,) if context.get(Settings).machine else ()
        for layer in (*IDENTITIES, *snapshots):
            allowed = vault.Policy(f"{layer}-policy", name=layer, policy=policy(layer), opts=child)
            vault.generic.Endpoint(
                f"{layer}-identity",
                path=f"auth/userpass/users/{layer}",
                # Vault never reads a password back.
                disable_read=True,
                ignore_absent_fields=True,
                data_json=pulumi.Output.json_dumps(
                    {
                        "password": context.secret(f"vault-{layer}"),
                        "token_policies": [layer],
                        "token_ttl": "1h",
                    },
                    sort_keys=True,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
            )
        self.register_outputs({})


COMPONENT = Vault
