"""The lake writer: moves the model server's events from Kafka into the lakehouse."""

import pulumi

from layers.apps.application import Application
from layers.apps.model_server import inference_variables
from layers.context import LayerContext
from layers.outputs import entry
from settings.apps.lake_writer import LakeWriter as Settings
from targets import Container, File, Health

USER = 10001  # apps/lake_writer/Dockerfile
DOCUMENT = "/run/secrets/lake.json"
# What the process needs on top of DuckDB's own memory (apps/lake_writer/settings.py).
OTHER_MIB = 224


class LakeWriter(Application):
    """The writer."""

    TYPE = "datalab:apps:LakeWriter"

    def container(self, name: str, context: LayerContext) -> Container:
        """Its image with what it is told."""
        wanted = context.get(Settings)
        size = wanted.container
        return Container(
            image=self.image,
            memory_mib=size.memory_mib,
            cpus=size.cpus,
            environment={
                "KAFKA_BROKER_ENDPOINT": context.endpoint("kafka").inner_netloc,
                **inference_variables(context.settings),
                "DATALAB_LAKE_FILE": DOCUMENT,
                "LAKE_CATALOG": wanted.catalog,
                "BATCH_ROWS": str(wanted.batch_rows),
                "BATCH_MIB": str(wanted.batch_mib),
                "BATCH_SECONDS": str(wanted.batch_seconds),
                "MAINTENANCE_MINUTES": str(wanted.maintenance_minutes),
                "KEEP_SNAPSHOTS_DAYS": str(wanted.keep_snapshots_days),
                "DUCKDB_MEMORY_MIB": str(max(64, size.memory_mib - OTHER_MIB)),
            },
            files={DOCUMENT: File(content=_document(context), mode="0400", owner=USER)},
            ports=context.ports(name),
            capabilities=("SETGID", "SETUID"),  # its entry point becomes its user
            stop_s=30,  # it commits what it has read
            health=Health(test=("CMD", "python", "-m", "lake_writer.health")),
        )


def _document(context: LayerContext) -> pulumi.Output[str]:
    """What it enters the lakehouse with."""
    return entry(context.environment, context.services, "lakehouse", "inside")


COMPONENT = LakeWriter
