"""What the lake writer is told by its environment."""

from collections.abc import Mapping
from typing import Annotated

from datalab_edge.credentials import Name as CatalogName
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Kafka's own rule (org.apache.kafka Topic); groups have none, and take the same names here.
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
MIB = 1024 * 1024


class Settings(BaseModel):
    """One field for each variable, which has the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kafka_broker_endpoint: str = Field(pattern=r"^[^\s:,]+:[0-9]{1,5}$", description="host:port")
    inference_results_topic: Name
    inference_results_group: Name
    inference_feedback_topic: Name
    inference_feedback_group: Name
    lake_catalog: CatalogName = "secure_stage"
    # A batch is committed when it has one of these.
    batch_rows: int = Field(default=20_000, ge=1, le=1_000_000)
    batch_mib: int = Field(default=16, ge=1, le=256)
    batch_seconds: float = Field(default=60, ge=0.1, le=3600)
    maintenance_minutes: float = Field(default=60, gt=0, le=1440)
    keep_snapshots_days: int = Field(default=7, ge=1, le=365)
    # DuckDB's own limit; Python, Kafka's client and the parts of DuckDB that it does not count
    # take about 200 MiB more.
    duckdb_memory_mib: int = Field(default=160, ge=64, le=65_536)
    duckdb_threads: int = Field(default=2, ge=1, le=64)
    port: int = Field(default=8001, ge=1, le=65_535)

    @property
    def groups(self) -> Mapping[str, str]:
        """Topic -> the consumer group in which people see its lag."""
        return {
            self.inference_results_topic: self.inference_results_group,
            self.inference_feedback_topic: self.inference_feedback_group,
        }

    @property
    def batch_bytes(self) -> int:
        """batch_mib in bytes."""
        return self.batch_mib * MIB


class SettingsError(Exception):
    """The environment has faults; the message has a line for each."""


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from variables; SettingsError naming every variable that is missing or wrong."""
    try:
        found = Settings.model_validate({key.lower(): value for key, value in environment.items()})
    except ValidationError as error:
        lines = (f"{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("\n".join(lines)) from None
    if found.inference_results_topic == found.inference_feedback_topic:
        raise SettingsError("INFERENCE_FEEDBACK_TOPIC: is the topic of the results as well")
    return found
