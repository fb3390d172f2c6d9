"""MLflow's tracking server and model registry."""

import re
from urllib.parse import quote, urlencode

import pulumi

from layers.context import Component, LayerContext
from layers.services.postgresql import Databases
from settings.names import Endpoint
from settings.services.mlflow import ADMIN, READER
from settings.services.mlflow import Mlflow as Settings
from targets import Container, File, Health

USER = 10001  # images/mlflow/Dockerfile
SECRETS = "/run/secrets/"
USERS = f"{SECRETS}users.ini"
CA = "/etc/datalab/ca.crt"
# What MLflow's login reads, and images/mlflow/users.py: database, administrator with password, and
# reader with password. Everybody with a login may read. Without the cache every request is checked
# by PBKDF2, which takes three times as long.
USERS_FILE = """\
[mlflow]
default_permission = READ
database_uri = {}
admin_username = {}
admin_password = {}
auth_cache_ttl_seconds = 60
[users]
{} = {}
"""


class Mlflow(Component):
    """The server, which alone has the keys: clients send artifacts through it."""

    TYPE = "datalab:services:Mlflow"

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        image = context.build(self, name)
        container = context.run(self, name, _container(context, image))
        self.register_outputs({"id": container.id})


def allowed_hosts(endpoint: Endpoint) -> str:
    """The Host headers that the server accepts: each name alone and with any port.

    The list replaces MLflow's own, and every other Host gets 403 on the API, but not on /health.
    """
    names = dict.fromkeys(("localhost", "127.0.0.1", endpoint.inner_host, endpoint.host))
    return ",".join(f"{name},{name}:*" for name in names)


def _container(context: LayerContext, image: pulumi.Output[str]) -> Container:
    wanted = context.get(Settings)
    endpoint, server = context.endpoint("mlflow"), context.endpoint("postgresql")
    tls = {"sslmode": "verify-full", "sslrootcert": CA, "passfile": f"{SECRETS}pgpass"}
    database = pulumi.Output.format(
        "postgresql+psycopg://mlflow@{}:{}/{}?{}",
        server.inner_host,
        server.inner_port,
        context.component(Databases).names["mlflow"],
        urlencode(tls, quote_via=quote, safe="/"),
    )
    return Container(
        image=image,
        memory_mib=wanted.container.memory_mib,
        cpus=wanted.container.cpus,
        environment={
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_AUTH_CONFIG_PATH": USERS,
            # By the image's own plugin: clients need not reach or trust the store.
            "MLFLOW_ARTIFACTS_DESTINATION": "proxied-s3://mlflow/artifacts",
            "MLFLOW_HOST": "0.0.0.0",  # noqa: S104 - inside the container
            "MLFLOW_PORT": "5000",
            "MLFLOW_WORKERS": str(wanted.workers),
            "MLFLOW_SERVER_ALLOWED_HOSTS": allowed_hosts(endpoint),
            "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": endpoint.url,
            # Halves the memory: 385 instead of 972 MiB with one worker and no login (3.17.2).
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_S3_ENDPOINT_URL": context.foundation.object_store["inner_endpoint"],
            "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
            "AWS_SHARED_CREDENTIALS_FILE": f"{SECRETS}aws",
            "AWS_DEFAULT_REGION": context.settings.common.region,
            "AWS_CA_BUNDLE": CA,
            # The store need not know the newer checksums that botocore sends by default.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            # For the health check: it asks by the name that people use.
            "HEALTH_HOST": re.sub("^https?://", "", endpoint.url),
        },
        files=_files(context, database),
        capabilities=("SETGID", "SETUID"),  # its entry point becomes its user
        ports=context.ports("mlflow"),
        # The first start makes 65 tables; a new version may have to change them.
        health=Health(test=("CMD", "python", "/opt/mlflow/health.py"), interval_s=15, wait_s=600),
    )


def _files(context: LayerContext, database: pulumi.Output[str]) -> dict[str, File]:
    keys = context.foundation.credentials["mlflow"]
    secret = {
        "pgpass": pulumi.Output.concat("*:*:*:mlflow:", context.secret("postgresql-mlflow"), "\n"),
        "aws": pulumi.Output.format(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            keys["access_key"],
            keys["secret_key"],
        ),
        "users.ini": pulumi.Output.format(
            USERS_FILE,
            database,
            ADMIN,
            context.secret("mlflow-admin"),
            READER,
            context.secret("mlflow-model-server"),
        ),
    }
    # libpq ignores a password file that others may read.
    own = {
        f"{SECRETS}{name}": File(content=content, mode="0400", owner=USER)
        for name, content in secret.items()
    }
    return {CA: File(content=context.ca), **own}


COMPONENT = Mlflow
