"""The model server's settings and declaration."""

from typing import Annotated

from pydantic import Field

from settings import images
from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.recipe import Recipe
from settings.service import Listener, Service
from settings.services.kafka import TopicName


class ModelServer(Model):
    """The FastAPI server that answers with MLflow's models and logs to Kafka."""

    port: Port = 8000
    results_topic: TopicName = Field(
        default="ml_inference_results", description="A key of services.kafka.topics"
    )
    feedback_topic: TopicName = Field(
        default="ml_inference_feedback", description="A key of services.kafka.topics"
    )
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 512}, proxmox={"memory_mib": 1024})
    ]


def recipe() -> Recipe:
    """What the model server's image is built from."""
    return Recipe(context="apps/model_server", base={"PYTHON_IMAGE": images.image("python")})


SERVICE = Service(
    key="apps.model_server",
    settings=ModelServer,
    order=10,
    listeners=(
        Listener(
            name="model-server",
            scheme="http",
            exposure="gateway",
            inner_port=8000,
            label="Model server",
            page="/health",
        ),
    ),
    images={"model-server": recipe},
)
