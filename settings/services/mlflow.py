"""MLflow's settings and declaration."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from settings import images
from settings.base import Container, Port, Switched
from settings.defaults import ByTarget
from settings.recipe import Recipe
from settings.sections import Fault
from settings.service import Listener, Login, Service, secrets

# Measured, MLflow 3.17 with its login and without job execution: 254 MiB in the process that
# starts the workers, and 259 in one that had answered some hundred requests.
MLFLOW_MIB, MLFLOW_WORKER_MIB = 255, 260

ADMIN = "admin"
# Reads every model, and can change none: the model server's.
READER = "model-server"


class Mlflow(Switched):
    """MLflow's tracking server and model registry."""

    port: Port = 5000
    workers: int = Field(default=1, ge=1, le=16, description="Each takes about 260 MiB")
    container: Annotated[
        Container, ByTarget(docker={"memory_mib": 768}, proxmox={"memory_mib": 1024})
    ]


def recipe() -> Recipe:
    """What MLflow's image is built from."""
    return Recipe(context="images/mlflow", base={"PYTHON_IMAGE": images.image("python")})


def workers(mlflow: Mlflow) -> Iterator[Fault]:
    """MLflow's memory is enough for its workers, each of which is a process."""
    needed = MLFLOW_MIB + MLFLOW_WORKER_MIB * mlflow.workers
    if mlflow.container.memory_mib < needed:
        text = (
            f"{mlflow.container.memory_mib} is below {needed}, what {mlflow.workers} workers need"
        )
        yield "services.mlflow.container.memory_mib", text


SERVICE = Service(
    key="services.mlflow",
    settings=Mlflow,
    order=30,
    needs=("services.postgresql",),
    listeners=(
        Listener(
            name="mlflow",
            scheme="http",
            exposure="gateway",
            inner_port=5000,
            label="MLflow",
            # /health answers 200 for hosts that its API refuses; of that this alone asks for no
            # login.
            page="/api/3.0/mlflow/server-info",
            credential="a user with a password",
        ),
    ),
    secrets=secrets("mlflow-admin", "mlflow-model-server"),
    login=Login(secret="mlflow-admin", listener="mlflow", user=ADMIN),  # noqa: S106 - a name
    images={"mlflow": recipe},
    rules=(workers,),
)
