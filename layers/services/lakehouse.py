"""The lakehouse: catalogs of DuckLake, made where they are missing."""

import json
import shlex

import pulumi
import pulumi_command as command

from layers.context import Component, LayerContext
from layers.services.postgresql import LAKEHOUSE, READER, SECURE, Databases
from settings.services.lakehouse import Lakehouse as Settings

BUCKET = "lakehouse"  # also the consumer that may use it


class Lakehouse(Component):
    """The catalogs.

    documents is how clients reach them, outside of the containers' network and inside (secret).
    """

    TYPE = "datalab:services:Lakehouse"

    documents: dict[str, pulumi.Output[str]]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        databases = context.component(Databases)
        server, store = context.endpoint("postgresql"), context.endpoint("store")
        writer = context.endpoint("lake-writer") if context.has("lake-writer") else None
        self.documents = {
            # Addresses, as with the providers: not every machine's DNS knows the lab.
            "outside": _document(
                context,
                {"host": str(server.address), "port": server.port},
                f"{store.scheme}://{store.reached}",
                writer.url if writer else None,
            ),
            "inside": _document(
                context,
                {"host": server.inner_host, "port": server.inner_port},
                store.inner_url,
                writer.inner_url if writer else None,
            ),
        }
        command.local.Command(
            f"{name}-catalogs",
            create=provision(context.get(Settings)),
            environment={"PYTHONPATH": "edge", "DATALAB_LAKE": self.documents["outside"]},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[databases]),
        )
        self.register_outputs({})


def provision(settings: Settings) -> str:
    """The command that makes the catalogs; it leaves those that are there.

    It runs in the project's folder, where the engine starts its providers.
    """
    plan = {
        name: {"encrypted": wanted.encrypted, "readers": [] if wanted.encrypted else [READER]}
        for name, wanted in sorted(settings.catalogs.items())
    }
    return shlex.join([".venv/bin/python", "-m", "datalab_edge.catalogs", json.dumps(plan)])


def _document(
    context: LayerContext, database: dict[str, str | int], store: str, writer: str | None
) -> pulumi.Output[str]:
    """What datalab_edge.credentials reads (secret): each catalog with the role that owns it."""
    catalogs, region = context.get(Settings).catalogs, context.settings.common.region
    keys = context.foundation.credentials[BUCKET]

    def write(values: dict[str, str]) -> str:
        access = {key: values[key] for key in ("access_key", "secret_key")}
        owners = {
            name: SECURE if wanted.encrypted else LAKEHOUSE for name, wanted in catalogs.items()
        }
        found = {
            "postgresql": database,
            "s3": {"endpoint": store, "region": region, "bucket": BUCKET, **access},
            "catalogs": {
                name: {"user": owner, "password": values[owner]} for name, owner in owners.items()
            },
            "ca": values["ca"],
            "writer": writer,
        }
        return json.dumps(found)

    values = pulumi.Output.all(
        access_key=keys["access_key"],
        secret_key=keys["secret_key"],
        ca=context.ca,
        **{role: context.secret(f"postgresql-{role}") for role in (LAKEHOUSE, SECURE)},
    )
    return pulumi.Output.secret(values.apply(write))


COMPONENT = Lakehouse
