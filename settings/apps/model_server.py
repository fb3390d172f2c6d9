"""The model server's settings and declaration."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from settings import images
from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.faults import suggestion
from settings.recipe import Recipe
from settings.sections import Fault
from settings.service import Listener, Service
from settings.services.kafka import Kafka, TopicName


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


def topics(server: ModelServer, kafka: Kafka) -> Iterator[Fault]:
    """The model server's two topics exist and are not the same."""
    known = kafka.topics
    for name in ("results_topic", "feedback_topic"):
        topic = getattr(server, name)
        if topic not in known:
            text = (
                f"{topic} is not a key of services.kafka.topics; {suggestion(topic, list(known))}"
            )
            yield f"apps.model_server.{name}", text
    if server.results_topic == server.feedback_topic:
        text = f"{server.feedback_topic} is results_topic too; feedback needs its own"
        yield "apps.model_server.feedback_topic", text


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
    rules=(topics,),
)
