"""The model server: answers with MLflow's models and logs to Kafka."""

from dataclasses import dataclass

import pulumi

from layers.engine import Engine
from places import Container, Health
from places.image import Recipe
from settings import Settings, images


def recipe() -> Recipe:
    """What the model server's image is built from."""
    return Recipe(context="apps/model_server", base={"PYTHON_IMAGE": images.image("python")})


@dataclass(frozen=True, kw_only=True)
class ModelServerArgs:
    """The project's place in GitLab's registry, and the addresses of MLflow and Kafka."""

    engine: Engine
    registry: pulumi.Input[str]
    mlflow: pulumi.Input[str]
    kafka: pulumi.Input[str]


class ModelServer(pulumi.ComponentResource):
    """The server; image is what it runs."""

    image: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:apps:ModelServer", name, None, opts)
        self.image = args.engine.build(self, name, recipe(), args.registry)
        settings = args.engine.settings
        size = settings.apps.model_server.container
        args.engine.run(
            self,
            name,
            Container(
                image=self.image,
                memory_mib=size.memory_mib,
                cpus=size.cpus,
                environment={
                    "MLFLOW_TRACKING_URI": args.mlflow,
                    "KAFKA_BROKER_ENDPOINT": args.kafka,
                    **inference_variables(settings),
                },
                ports=args.engine.ports(name),
                health=Health(test=("CMD", "python", "-m", "model_server.health")),
            ),
        )
        self.register_outputs({"image": self.image})


def inference_variables(settings: Settings) -> dict[str, str]:
    """Topics and groups, each group that of its topic."""
    topics, own = settings.services.kafka.topics, settings.apps.model_server
    results, feedback = own.results_topic, own.feedback_topic
    return {
        "INFERENCE_RESULTS_TOPIC": results,
        "INFERENCE_RESULTS_GROUP": topics[results].group,
        "INFERENCE_FEEDBACK_TOPIC": feedback,
        "INFERENCE_FEEDBACK_GROUP": topics[feedback].group,
    }
