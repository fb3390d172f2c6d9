"""What the model server is told by its environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, Json, ValidationError

from .policy import Wanted, wanted

# Kafka's own rule (org.apache.kafka Topic); groups have none, and take the same names here.
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Alias = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,250}$")]


class Settings(BaseModel):
    """One field for each variable, which has the same name in capitals; lists are JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    mlflow_tracking_uri: HttpUrl
    kafka_broker_endpoint: str = Field(pattern=r"^[^\s:,]+:[0-9]{1,5}$", description="host:port")
    inference_results_topic: Name
    inference_results_group: Name
    inference_feedback_topic: Name
    inference_feedback_group: Name
    lake_writer_url: HttpUrl
    # Loaded when it starts: name (its newest version; any may be asked for), name/3, name@alias.
    models: Json[list[Annotated[str, AfterValidator(wanted)]]] = Field(default=[])
    # What these aliases of any model point to is served too; with any_model everything is.
    model_aliases: Json[list[Alias]] = Field(default=["champion", "challenger"])
    any_model: bool = False
    # All loaded models together; the container's limit is this and what the server itself takes.
    models_memory_mib: int = Field(default=256, ge=16)
    # What was downloaded, for a start while MLflow is away.
    models_folder: Path = Path("/var/lib/model-server")

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """The models that are loaded when it starts."""
        return tuple(Wanted.parse(text) for text in self.models)


class SettingsError(Exception):
    """The environment has faults; the message has a line for each."""


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from variables; SettingsError naming every variable that is missing or wrong."""
    try:
        return Settings.model_validate({key.lower(): value for key, value in environment.items()})
    except ValidationError as error:
        lines = (f"{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("\n".join(lines)) from None
