"""The model server's settings and declaration."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from settings import images
from settings.base import Container, Port, Switched
from settings.defaults import ByTarget
from settings.faults import suggestion
from settings.recipe import Recipe
from settings.sections import Fault
from settings.service import Listener, Service
from settings.services.kafka import Kafka, TopicName

# What the server takes without models, measured: 237 MiB with the libraries that they need, 359
# under bodies of the largest size with as many rows as fit, and 32 are for events that wait.
SERVER_MIB = 400
SMALLEST_MIB = 32
# As MLflow writes them in models:/...; its names have neither slash nor colon
# (apps/model_server/policy.py).
ServedModel = Annotated[
    str,
    Field(
        pattern=r"^[^/:'\"\\%@]{1,250}(/([1-9][0-9]{0,9}|latest)|@[A-Za-z0-9_-]{1,250})?$",
        examples=["sentiment@champion"],
    ),
]
Alias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,250}$", examples=["champion"])]


def _enough(container: Container) -> Container:
    if container.memory_mib < SERVER_MIB + SMALLEST_MIB:
        raise ValueError(
            f"memory_mib {container.memory_mib} is below {SERVER_MIB + SMALLEST_MIB}: the server "
            f"takes {SERVER_MIB}, and models the rest"
        )
    return container


class ModelServer(Switched):
    """The FastAPI server that answers with MLflow's models and logs to Kafka."""

    port: Port = 8000
    results_topic: TopicName = Field(
        default="ml_inference_results", description="A key of services.kafka.topics"
    )
    feedback_topic: TopicName = Field(
        default="ml_inference_feedback", description="A key of services.kafka.topics"
    )
    models: tuple[ServedModel, ...] = Field(
        default=(),
        max_length=64,
        description="Models that are loaded when it starts: a name (its newest version; any of "
        "them is served), name/3, name@alias",
    )
    aliases: tuple[Alias, ...] = Field(
        default=("champion", "challenger"),
        max_length=64,
        description="Aliases in MLflow: versions that they point to are served, of any model",
    )
    any_model: bool = Field(
        default=False,
        description="Serve every version of every model; anyone who may log a model in MLflow can "
        "run code in the server then",
    )
    container: Annotated[
        Container,
        ByTarget(docker={"memory_mib": 512}, proxmox={"memory_mib": 1024}),
        AfterValidator(_enough),
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
    # Its flush of the logs asks the lake writer (apps/model_server/settings.py).
    needs=("services.kafka", "services.mlflow", "apps.lake_writer"),
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
