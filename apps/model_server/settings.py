"""What the model server is told by its environment."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

# Kafka's own rule (org.apache.kafka Topic); groups have none, and take the same names here.
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class Settings(BaseModel):
    """One field for each variable, which has the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    mlflow_tracking_uri: HttpUrl
    kafka_broker_endpoint: str = Field(pattern=r"^[^\s:,]+:[0-9]{1,5}$", description="host:port")
    inference_results_topic: Name
    inference_results_group: Name
    inference_feedback_topic: Name
    inference_feedback_group: Name
    lake_writer_url: HttpUrl
    # Each loaded model stays in memory, so this and the container's limit belong together.
    models_in_memory: int = Field(default=4, ge=1, le=64)


class SettingsError(Exception):
    """The environment has faults; the message has a line for each."""


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from variables; SettingsError naming every variable that is missing or wrong."""
    try:
        return Settings.model_validate({key.lower(): value for key, value in environment.items()})
    except ValidationError as error:
        lines = (f"{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("\n".join(lines)) from None
