"""MinIO's server, built from its Go module: five minutes on two cores, once."""

from pathlib import Path

from cli.lib.packaged.programs import of
from settings.packaged import contracts


def minio() -> Path:
    """The server's program."""
    return of("minio", "server", contracts()["minio"].programs["server"]) / "minio"
