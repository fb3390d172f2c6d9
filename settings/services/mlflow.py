"""MLflow's settings and declaration."""

from typing import Annotated

from pydantic import Field

from settings import images
from settings.base import Container, Model, Port
from settings.defaults import ByTarget
from settings.recipe import Recipe
from settings.service import Listener, Service


class Mlflow(Model):
    """MLflow's tracking server and model registry."""

    port: Port = 5000
    workers: int = Field(default=1, ge=1, le=16, description="Each takes about 250 MiB")
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 768}, proxmox={"memory_mib": 1024})
    ]


def recipe() -> Recipe:
    """What MLflow's image is built from."""
    return Recipe(context="images/mlflow", base={"PYTHON_IMAGE": images.image("python")})


SERVICE = Service(
    key="services.mlflow",
    settings=Mlflow,
    order=30,
    listeners=(
        Listener(
            name="mlflow",
            scheme="http",
            exposure="gateway",
            inner_port=5000,
            label="MLflow",
            # /health answers 200 for hosts that its API refuses.
            page="/api/2.0/mlflow/experiments/search?max_results=1",
        ),
    ),
    images={"mlflow": recipe},
)
