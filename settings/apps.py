"""Settings of layer 4: the lab's own applications."""

from pydantic import Field

from settings.base import Container, Model, Port
from settings.service import Listener, Service
from settings.services import TopicName


class ModelServer(Model):
    """The FastAPI server that answers with MLflow's models and logs to Kafka."""

    port: Port = 8000
    results_topic: TopicName = Field(
        default="ml_inference_results", description="A key of services.kafka.topics"
    )
    feedback_topic: TopicName = Field(
        default="ml_inference_feedback", description="A key of services.kafka.topics"
    )
    container: Container


class Web(Model):
    """The NodeJS web application."""

    port: Port = 3000
    container: Container


class Apps(Model):
    """Layer 4."""

    model_server: ModelServer
    web: Web


SERVICES = (
    Service(
        layer="apps",
        section="model_server",
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
    ),
    Service(
        layer="apps",
        section="web",
        listeners=(
            Listener(
                name="web",
                scheme="http",
                exposure="gateway",
                inner_port=3000,
                label="Web application",
                page="/health",
            ),
        ),
    ),
)
