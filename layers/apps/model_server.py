"""The model server: answers with MLflow's models and logs to Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from layers.engine import Engine, Recipe
from places import Container, Health
from settings.apps import ModelServer as ModelServerSettings
from settings.services import Topic

RECIPE = Recipe(context="apps/model_server", base={"PYTHON_IMAGE": "python"})


@dataclass(frozen=True, kw_only=True)
class ModelServerArgs:
    """The settings, the lab's topics by name, and the addresses of MLflow and Kafka."""

    settings: ModelServerSettings
    engine: Engine
    registry: pulumi.Input[str]
    topics: Mapping[str, Topic]
    mlflow: pulumi.Input[str]
    kafka: pulumi.Input[str]


class ModelServer(pulumi.ComponentResource):
    """The server; image is what it runs."""

    image: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__("datalab:apps:ModelServer", name, None, opts)
        self.image = args.engine.build(self, name, RECIPE, args.registry)
        size = args.settings.container
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
                    **inference_variables(args.settings, args.topics),
                },
                ports=args.engine.ports(name),
                health=Health(test=("CMD", "python", "-m", "model_server.health")),
            ),
        )
        self.register_outputs({"image": self.image})


def inference_variables(
    settings: ModelServerSettings, topics: Mapping[str, Topic]
) -> dict[str, str]:
    """Topics and groups, each group that of its topic."""
    results, feedback = settings.results_topic, settings.feedback_topic
    return {
        "INFERENCE_RESULTS_TOPIC": results,
        "INFERENCE_RESULTS_GROUP": topics[results].group,
        "INFERENCE_FEEDBACK_TOPIC": feedback,
        "INFERENCE_FEEDBACK_GROUP": topics[feedback].group,
    }
