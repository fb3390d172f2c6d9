"""The model server: answers with MLflow's models and logs to Kafka."""

import json

import pulumi

from layers.apps.application import Application
from layers.context import LayerContext
from layers.outputs import entry
from settings import Settings
from settings.apps.model_server import SERVER_MIB
from settings.apps.model_server import ModelServer as ModelServerSettings
from settings.services.kafka import Kafka
from settings.services.mlflow import READER
from targets import Container, File, Health

USER = 10001  # apps/model_server/Dockerfile
# Where MLflow's client looks.
LOGIN = "/home/model-server/.mlflow/credentials"
CREDENTIALS = "[mlflow]\nmlflow_tracking_username = {}\nmlflow_tracking_password = {}\n"


class ModelServer(Application):
    """The server."""

    TYPE = "datalab:apps:ModelServer"

    def container(self, name: str, context: LayerContext) -> Container:
        """Its image with what it is told."""
        wanted = context.get(ModelServerSettings)
        size = wanted.container
        login = entry(context.environment, context.services, "mlflow_credentials", READER)
        return Container(
            image=self.image,
            memory_mib=size.memory_mib,
            cpus=size.cpus,
            environment={
                "MLFLOW_TRACKING_URI": context.endpoint("mlflow").inner_url,
                "KAFKA_BROKER_ENDPOINT": context.endpoint("kafka").inner_netloc,
                **inference_variables(context.settings),
                "LAKE_WRITER_URL": context.endpoint("lake-writer").inner_url,
                **model_variables(wanted),
            },
            files={
                LOGIN: File(
                    content=pulumi.Output.format(CREDENTIALS, login["username"], login["password"]),
                    mode="0400",
                    owner=USER,
                )
            },
            capabilities=("SETGID", "SETUID"),  # its entry point becomes its user
            # What was downloaded: it starts with that while MLflow is away.
            volumes={"model-server-models": "/var/lib/model-server"},
            ports=context.ports(name),
            health=Health(test=("CMD", "python", "-m", "model_server.health")),
        )


def model_variables(wanted: ModelServerSettings) -> dict[str, str]:
    """Which models are served, and in how much memory."""
    return {
        "MODELS": json.dumps(wanted.models),
        "MODEL_ALIASES": json.dumps(wanted.aliases),
        "ANY_MODEL": json.dumps(wanted.any_model),
        "MODELS_MEMORY_MIB": str(wanted.container.memory_mib - SERVER_MIB),
    }


def inference_variables(settings: Settings) -> dict[str, str]:
    """Topics and groups, each group that of its topic."""
    topics, own = settings.get(Kafka).topics, settings.get(ModelServerSettings)
    results, feedback = own.results_topic, own.feedback_topic
    return {
        "INFERENCE_RESULTS_TOPIC": results,
        "INFERENCE_RESULTS_GROUP": topics[results].group,
        "INFERENCE_FEEDBACK_TOPIC": feedback,
        "INFERENCE_FEEDBACK_GROUP": topics[feedback].group,
    }


COMPONENT = ModelServer
