"""Where the lakehouse is and who asks: one JSON document."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError

FILE, TEXT = "DATALAB_LAKE_FILE", "DATALAB_LAKE"
# Names become identifiers of PostgreSQL and DuckDB, and prefixes in the bucket.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class CredentialsError(Exception):
    """There are none, or they have faults; the message has a line for each."""


class Strict(BaseModel):
    """A part of the document; unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Database(Strict):
    """The PostgreSQL database that holds the catalogs."""

    host: str = Field(min_length=1)
    port: int = Field(default=5432, ge=1, le=65_535)
    database: str = Field(default="lakehouse", min_length=1)


class Store(Strict):
    """The bucket that holds the data."""

    endpoint: HttpUrl
    region: str = "us-east-1"
    bucket: str = Field(default="lakehouse", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    access_key: str = Field(min_length=1)
    secret_key: SecretStr


class Login(Strict):
    """A role of the database. A reader cannot change the catalog that it logs in to."""

    user: str = Field(min_length=1)
    password: SecretStr
    reads: bool = Field(default=False, description="Attach the catalog for reading only")


class Lake(Strict):
    """The whole document. ca is a PEM; without it servers are checked by the system's own CAs."""

    postgresql: Database
    s3: Store
    catalogs: Mapping[Name, Login] = Field(min_length=1)
    ca: str = ""
    writer: HttpUrl | None = Field(default=None, description="Where the lake writer answers")


def faults(error: ValidationError, whole: str) -> list[str]:
    """A line for each, without any value: its key, or `whole` where it is not of one key."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False)
    ]


def parse(text: str, source: str) -> Lake:
    """The document; CredentialsError naming source and each faulty key, without any value."""
    try:
        return Lake.model_validate_json(text)
    except ValidationError as error:
        lines = [f"{source}: {line}" for line in faults(error, "the document")]
        raise CredentialsError("\n".join(lines)) from None


def load(environment: Mapping[str, str] = os.environ, file: Path | None = None) -> Lake:
    """Credentials from a file, or from the variable that names one or holds the text itself."""
    if file is None and TEXT in environment:
        return parse(environment[TEXT], TEXT)
    if file is None and FILE not in environment:
        raise CredentialsError(
            f"no credentials: give --credentials FILE, or set {FILE} to a file's path or {TEXT} "
            "to its text"
        )
    path = file or Path(environment[FILE])
    try:
        return parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise CredentialsError(f"{path}: {reason}") from error


def dump(lake: Lake) -> str:
    """The document as JSON, with its secrets: for a file that only its owner reads."""
    plain = lake.model_dump(mode="json")
    plain["s3"]["secret_key"] = lake.s3.secret_key.get_secret_value()
    for name, login in lake.catalogs.items():
        plain["catalogs"][name]["password"] = login.password.get_secret_value()
    return json.dumps(plain, indent=2)
