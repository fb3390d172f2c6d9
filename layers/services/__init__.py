"""Layer 3: databases, brokers, model tools, the gateway, and this repository's project in GitLab.

Its services are the modules of settings/services/, each with a component in the module of the same
name here. It needs the foundation's certificates and credentials and the platform's Docker host,
and exports ServicesOutputs.
"""

from typing import TYPE_CHECKING, Any

import pulumi

from layers.context import LayerContext
from layers.outputs import ServicesOutputs, secret_map, together
from layers.services.kafka import bootstrap
from layers.services.lakehouse import Lakehouse
from layers.services.postgresql import DATABASES, ROLES
from layers.services.postgresql import login as database_login
from settings import Settings
from settings.program import Given
from settings.services.kafka import Kafka
from settings.services.mlflow import READER
from settings.services.postgresql import PostgreSql, owners, password

if TYPE_CHECKING:
    from layers.services.gitlab_project import GitLabProject


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 3 and export its outputs."""
    context = LayerContext("services", environment, settings, given)
    project = _project(context) if context.has("gitlab") else None
    context.deploy()
    if context.has("postgresql"):
        context.component(Lakehouse)
    context.export(_outputs(context, project))


def _project(context: LayerContext) -> "GitLabProject":
    """The project in GitLab, and what the jobs of every project may do in Vault."""
    # Imported here, as they need pulumi_gitlab and pulumi_vault, 0.65 s together.
    from layers.services.ci_access import CiAccess
    from layers.services.gitlab_project import GitLabProject

    project = context.component(GitLabProject)
    context.registry = project.registry
    context.component(CiAccess)
    return project


def _outputs(context: LayerContext, project: "GitLabProject | None") -> ServicesOutputs:
    lake = context.component(Lakehouse).documents if context.has("postgresql") else {}
    mlflow = context.address("mlflow") if context.has("mlflow") else {}
    return ServicesOutputs(
        postgresql=pulumi.Output.from_input(_database(context)),
        postgresql_credentials=secret_map(_credentials(context)),
        kafka=pulumi.Output.from_input(_broker(context)),
        lakehouse=pulumi.Output.secret(together(lake)),
        mlflow=pulumi.Output.from_input(mlflow),
        mlflow_credentials=secret_map(_mlflow_users(context)),
        gitlab_project=pulumi.Output.all(
            id=project.id if project else "",
            path=project.path if project else "",
            registry=project.registry if project else "",
        ),
        logins=context.logins(_databases(context)),
    )


def _database(context: LayerContext) -> dict[str, Any]:
    if not context.has("postgresql"):
        return {}
    server = context.endpoint("postgresql")
    return {
        "host": server.host,
        "port": server.port,
        "inner_host": server.inner_host,
        "inner_port": server.inner_port,
        "databases": [*DATABASES, *context.get(PostgreSql).databases],
    }


def _credentials(context: LayerContext) -> dict[str, dict[str, pulumi.Input[str]]]:
    """Role -> its login; of the lab's own and of who owns databases of the settings."""
    if not context.has("postgresql"):
        return {}
    return {
        **{
            role: {
                "username": database_login(role),
                "password": context.secret(f"postgresql-{role}"),
            }
            for role in ROLES
        },
        **{
            owner: {"username": owner, "password": context.secret(password(owner))}
            for owner in owners(context.get(PostgreSql).databases).values()
        },
    }


def _databases(context: LayerContext) -> dict[str, dict[str, pulumi.Input[str]]]:
    """How people log in to the databases, by the name that `./lab logins` has for each."""
    if not context.has("postgresql"):
        return {}
    whose = {**{name: name for name in DATABASES}, **owners(context.get(PostgreSql).databases)}
    return {
        f"postgresql/{name}": {
            "url": f"{context.endpoint('postgresql').url}/{name}",
            "user": owner,
            "password": context.secret(
                f"postgresql-{owner}" if owner in ROLES else password(owner)
            ),
        }
        for name, owner in whose.items()
    }


def _broker(context: LayerContext) -> dict[str, Any]:
    if not context.has("kafka"):
        return {}
    return {
        "bootstrap": bootstrap(context),
        "inner_bootstrap": context.endpoint("kafka").inner_netloc,
        "topics": {name: topic.group for name, topic in context.get(Kafka).topics.items()},
    }


def _mlflow_users(context: LayerContext) -> dict[str, dict[str, pulumi.Input[str]]]:
    """The users of MLflow whose passwords the lab knows, but for its administrator."""
    if not context.has("mlflow"):
        return {}
    return {READER: {"username": READER, "password": context.secret("mlflow-model-server")}}
