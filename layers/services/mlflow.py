"""MLflow's tracking server and model registry."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pulumi

from layers.engine import Engine
from places import Container, File, Health
from places.image import Recipe
from settings import images
from settings.names import Endpoint


def recipe() -> Recipe:
    """What MLflow's image is built from."""
    return Recipe(context="images/mlflow", base={"PYTHON_IMAGE": images.image("python")})


USER = 10001  # images/mlflow/Dockerfile
SECRETS = "/run/secrets/"
CA = "/etc/datalab/ca.crt"


@dataclass(frozen=True, kw_only=True)
class MlflowArgs:
    """The server's database with its role's password, and its user of the object store.

    registry: the project's place in GitLab's registry. store: the object store's URL. keys:
    access_key and secret_key. ca: PEM.
    """

    engine: Engine
    registry: pulumi.Input[str]
    database: pulumi.Input[str]
    password: pulumi.Input[str]
    store: pulumi.Input[str]
    keys: pulumi.Output[dict[str, str]]
    ca: pulumi.Input[str]


class Mlflow(pulumi.ComponentResource):
    """The server, which alone has the keys: clients send artifacts through it."""

    def __init__(self, name: str, args: MlflowArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("datalab:services:Mlflow", name, None, opts)
        image = args.engine.build(self, name, recipe(), args.registry)
        container = args.engine.run(self, name, _container(args, image))
        self.register_outputs({"id": container.id})


def allowed_hosts(endpoint: Endpoint) -> str:
    """The Host headers that the server accepts: each name alone and with any port.

    The list replaces MLflow's own, and every other Host gets 403 on the API, but not on /health.
    """
    names = dict.fromkeys(("localhost", "127.0.0.1", endpoint.inner_host, endpoint.host))
    return ",".join(f"{name},{name}:*" for name in names)


def _container(args: MlflowArgs, image: pulumi.Output[str]) -> Container:
    engine, wanted = args.engine, args.engine.settings.services.mlflow
    endpoint, server = engine.endpoint("mlflow"), engine.endpoint("postgresql")
    tls = {"sslmode": "verify-full", "sslrootcert": CA, "passfile": f"{SECRETS}pgpass"}
    return Container(
        image=image,
        memory_mib=wanted.container.memory_mib,
        cpus=wanted.container.cpus,
        environment={
            "MLFLOW_BACKEND_STORE_URI": pulumi.Output.format(
                "postgresql+psycopg://mlflow@{}:{}/{}?{}",
                server.inner_host,
                server.inner_port,
                args.database,
                urlencode(tls, quote_via=quote, safe="/"),
            ),
            # By the image's own plugin: clients need not reach or trust the store.
            "MLFLOW_ARTIFACTS_DESTINATION": "proxied-s3://mlflow/artifacts",
            "MLFLOW_HOST": "0.0.0.0",  # noqa: S104 - inside the container
            "MLFLOW_PORT": "5000",
            "MLFLOW_WORKERS": str(wanted.workers),
            "MLFLOW_SERVER_ALLOWED_HOSTS": allowed_hosts(endpoint),
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": endpoint.url,
            # Halves the memory: 385 instead of 972 MiB with one worker (MLflow 3.17.2).
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_S3_ENDPOINT_URL": args.store,
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
            "AWS_SHARED_CREDENTIALS_FILE": f"{SECRETS}aws",
            "AWS_DEFAULT_REGION": engine.settings.common.region,
            "AWS_CA_BUNDLE": CA,
            # The store need not know the newer checksums that botocore sends by default.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            # For the health check: it asks by the name that people use.
            "HEALTH_HOST": re.sub("^https?://", "", endpoint.url),
        },
        files={
            CA: File(content=args.ca),
            f"{SECRETS}pgpass": File(
                content=pulumi.Output.concat("*:*:*:mlflow:", args.password, "\n"),
                mode="0400",  # libpq ignores one that others may read
                owner=USER,
            ),
            f"{SECRETS}aws": File(
                content=pulumi.Output.format(
                    "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                    args.keys["access_key"],
                    args.keys["secret_key"],
                ),
                mode="0400",
                owner=USER,
            ),
        },
        ports=engine.ports("mlflow"),
        # The first start makes 65 tables; a new version may have to change them.
        health=Health(test=("CMD", "python", "/opt/mlflow/health.py"), interval_s=15, wait_s=600),
    )
