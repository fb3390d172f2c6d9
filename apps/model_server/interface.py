"""What requests and answers look like."""

import uuid
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from .predictor import COLUMN, Record

MOST_ROWS = 10_000
# MLflow forbids slashes and colons in names of models; a quote would end the name in its filters.
ModelName = Annotated[str, Field(pattern=r"^[^/:'\"\\%]{1,250}$")]
Text = Annotated[str, Field(max_length=250)]
Value = StrictStr | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]


class Model(BaseModel):
    """A model that may answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ModelName
    version: Annotated[
        str,
        BeforeValidator(lambda given: str(given) if type(given) is int else given),
        Field(pattern=r"^[A-Za-z0-9_-]{1,250}$", description="A number, an alias or `latest`"),
    ] = "latest"
    weight: float = Field(
        default=1, ge=0, le=1e6, allow_inf_nan=False, description="Its share, to those of others"
    )


class Question(BaseModel):
    """Data for a model, or for one of several."""

    model_config = ConfigDict(extra="forbid")

    models: Annotated[
        list[Model],
        BeforeValidator(lambda given: given if isinstance(given, list) else [given]),
        Field(min_length=1, max_length=32),
    ]
    data: Value | Annotated[list[Value], Field(min_length=1, max_length=MOST_ROWS)] | None = Field(
        default=None, description=f"A text or number, or a list: rows of the column `{COLUMN}`"
    )
    records: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ROWS)] | None = (
        Field(default=None, description="Rows of named columns, in place of data")
    )
    key: Text | None = Field(
        default=None, description="The same key is always answered by the same of the models"
    )
    log_to_lakehouse: bool = True

    @model_validator(mode="after")
    def _whole(self) -> "Question":
        if (self.data is None) == (self.records is None):
            raise ValueError("give either data or records")
        if not any(model.weight for model in self.models):
            raise ValueError("all weights are 0")
        return self

    @property
    def given(self) -> Any:
        """The data as it came."""
        return self.records if self.data is None else self.data

    @property
    def rows(self) -> list[Record]:
        """The data as rows of named columns."""
        if self.records is not None:
            return list(self.records)
        values = self.data if isinstance(self.data, list) else [self.data]
        return [{COLUMN: value} for value in values]


class Chosen(BaseModel):
    """The model that answered; its version is the number."""

    name: str
    version: str


class Answer(BaseModel):
    """One prediction, or a list of one for each row; inference_uuid is what feedback refers to.

    A prediction is the probability of class 1, or of each class by its name where they are not 0
    and 1, or what the model gives where it has no probabilities.
    """

    inference_uuid: uuid.UUID
    model: Chosen
    data: Any
    prediction: Any
    created_at: int = Field(description="Microseconds since 1970")


class Feedback(BaseModel):
    """What a person or program thinks of an answer: a number, or any JSON but null."""

    model_config = ConfigDict(extra="forbid")

    inference_uuid: uuid.UUID
    feedback: Any

    @model_validator(mode="after")
    def _whole(self) -> "Feedback":
        if self.feedback is None:
            raise ValueError("feedback is missing")
        return self


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str


class Stream(BaseModel):
    """A topic, and the consumer group that reads it for the lakehouse."""

    topic: str
    group: str


class Health(BaseModel):
    """How the server is; `ok` also while MLflow and Kafka are away, as it serves what it has."""

    name: str
    version: str
    status: str
    mlflow: dict[str, Any]
    kafka: dict[str, Any]
    models: list[dict[str, Any]]
