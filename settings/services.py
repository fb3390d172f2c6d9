"""Settings of layer 3: databases, brokers, model tools, and how people reach them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from provision import specs
from settings.base import Container, Model, Name, Port
from settings.service import Listener, Secret, Service, secrets

# GitLab's rule for the path of a group or project, in the part of it that is safe everywhere.
GitLabPath = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{1,62}$", examples=["datalab"])]
# What `provision` takes, as it makes the topics and pulls the models.
TopicName = Annotated[str, Field(pattern=specs.KAFKA_NAME, examples=["ml_results"])]
# A five-field cron line; settings/rules.py looks at the values.
Cron = Annotated[
    str, Field(pattern=r"^([0-9a-zA-Z*,/-]+ ){4}[0-9a-zA-Z*,/-]+$", examples=["17 3 * * *"])
]
# Ollama's model names, with the tag: without one the newest would be pulled at each start.
ModelName = Annotated[
    str,
    Field(pattern=f"^{specs.MODEL_NAME}{specs.MODEL_TAG}$", examples=["llama3.2:3b"]),
]


# The switches of .gitlab-ci.yml (its spec:inputs of type boolean) that start jobs by the clock: the
# provisioners act on a request, and a schedule names none.
Workflow = Literal[
    "plan",
    "deploy",
    "images",
    "drift",
    "force_apps_deploy",
]


class PostgreSql(Model):
    """PostgreSQL 18."""

    port: Port = 5432
    max_connections: int = Field(
        default=100, ge=20, le=1000, description="Connections at a time; each is a process"
    )
    container: Container


def _retention(hours: int) -> int:
    if hours == 0:
        raise ValueError("0 keeps nothing; give it hours, or -1 for ever")
    return hours


class Topic(Model):
    """A Kafka topic and the consumer group that reads it."""

    partitions: int = Field(
        default=1,
        ge=specs.PARTITIONS[0],
        le=specs.PARTITIONS[1],
        description="Partitions; Kafka can add some, never remove one",
    )
    # An hour is the least that a consumer can catch up; -1 is Kafka's own word (retention.ms).
    retention_hours: Annotated[int, AfterValidator(_retention)] = Field(
        default=168,
        ge=specs.FOR_EVER,
        le=specs.RETENTION_HOURS[1],
        description="How long a message is kept; -1 is for ever",
    )
    group: TopicName = Field(description="The consumer group that reads it")


class Kafka(Model):
    """One Kafka broker in KRaft mode."""

    port: Port = Field(default=9092, description="The listener for clients outside the network")
    heap_mib: int = Field(default=512, ge=256, le=32_768, description="Heap of the JVM")
    # No default topic: the apps' topics are a contract between the model server and the lakehouse.
    topics: dict[TopicName, Topic] = Field(description="The topics, by name")
    container: Container


class Mlflow(Model):
    """MLflow's tracking server and model registry."""

    port: Port = 5000
    workers: int = Field(default=1, ge=1, le=16, description="Each takes about 250 MiB")
    container: Container


class Ollama(Model):
    """Ollama, with the node's GPU where there is one."""

    port: Port = 11434
    models: tuple[ModelName, ...] = Field(
        default=(), description="Models to have at hand, each with its tag"
    )
    context_length: int = Field(
        default=4096, ge=512, le=1_048_576, description="Tokens of context; memory grows with it"
    )
    keep_alive_minutes: int = Field(
        default=5, ge=0, le=1440, description="How long an idle model stays in memory"
    )
    gpu: bool = Field(default=False, description="Whether it gets the Docker host's GPU")
    # Ollama's image has Vulkan since 0.12.11 (ollama docs/docker.mdx, "Vulkan Support").
    gpu_type: Literal["nvidia", "render"] = Field(
        default="nvidia",
        description="How it reaches the GPU: NVIDIA's toolkit, or /dev/dri of an AMD or Intel one",
    )
    container: Container


class OpenWebUi(Model):
    """Open WebUI, a chat page for Ollama."""

    port: Port = 8080
    admin_email: str = Field(
        default="admin@lab.home.arpa",
        description="Sign-in name of the administrator",
        pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        max_length=254,
        examples=["me@home.arpa"],
    )
    container: Container


class Portainer(Model):
    """Portainer, a web interface for the Docker host."""

    port: Port = 9443
    container: Container


class Gateway(Model):
    """nginx in front of every web page, with the lab's certificate."""

    port: Port = Field(description="HTTPS for every web page")
    container: Container


class Schedule(Model):
    """A pipeline that GitLab starts by the clock."""

    cron: Cron = Field(description="When, in common.timezone: minute hour day month weekday")
    workflow: Workflow = Field(description="The input of .gitlab-ci.yml that it sets to true")


class GitLabProject(Model):
    """This repository's own home in the lab's GitLab."""

    group: GitLabPath = Field(default="datalab", description="Path of the group")
    project: GitLabPath = Field(default="datalab", description="Path of the project in it")
    schedules: dict[Name, Schedule] = Field(
        default={}, description="What GitLab starts by the clock, by name"
    )
    pulling_groups: tuple[Annotated[int, Field(ge=1, le=2**63 - 1)], ...] = Field(
        default=(),
        description="Ids of further groups whose jobs may pull the lab's images with their token",
    )
    # GitLab refuses an expiry over a year away (reference gitlab, section 3).
    token_days: int = Field(
        default=180,
        ge=30,
        le=365,
        description="Life of a token; a deployment renews its last third",
    )


class Services(Model):
    """Layer 3."""

    postgresql: PostgreSql
    kafka: Kafka
    mlflow: Mlflow
    ollama: Ollama
    open_webui: OpenWebUi
    portainer: Portainer
    gateway: Gateway
    gitlab_project: GitLabProject = GitLabProject()


SERVICES = (
    Service(
        layer="services",
        section="postgresql",
        listeners=(
            Listener(
                name="postgresql",
                scheme="postgresql",
                exposure="docker",
                inner_port=5432,
                certificate=True,
            ),
        ),
        secrets=secrets(
            "postgresql-admin",
            "postgresql-mlflow",
            "postgresql-lakehouse",
            "postgresql-provisioner",
            "postgresql-vault",
        ),
    ),
    Service(
        layer="services",
        section="kafka",
        listeners=(Listener(name="kafka", scheme="kafka", exposure="docker", inner_port=29092),),
    ),
    Service(
        layer="services",
        section="mlflow",
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
    ),
    Service(
        layer="services",
        section="ollama",
        listeners=(
            Listener(
                name="ollama",
                scheme="http",
                exposure="gateway",
                inner_port=11434,
                page="/api/version",
            ),
        ),
    ),
    Service(
        layer="services",
        section="open_webui",
        listeners=(
            Listener(
                name="open-webui",
                scheme="http",
                exposure="gateway",
                inner_port=8080,
                label="Open WebUI",
                page="/health",
            ),
        ),
        secrets=(
            Secret(name="open-webui-admin", first_login_of="Open WebUI"),
            Secret(name="open-webui-session"),
        ),
    ),
    Service(
        layer="services",
        section="portainer",
        listeners=(
            Listener(
                name="portainer",
                scheme="https",
                exposure="gateway",
                inner_port=9443,
                label="Portainer",
                page="/api/system/status",
                certificate=True,
            ),
        ),
        secrets=(Secret(name="portainer-admin", first_login_of="Portainer"),),
    ),
    Service(
        layer="services",
        section="gateway",
        listeners=(
            Listener(
                name="gateway",
                scheme="https",
                exposure="docker",
                inner_port=8443,
                label="Start page",
                certificate=True,
            ),
        ),
    ),
)
