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
    roles = ROLES if context.has("postgresql") else ()
    lake = context.component(Lakehouse).documents if roles else {}
    mlflow = context.address("mlflow") if context.has("mlflow") else {}
    return ServicesOutputs(
        postgresql=pulumi.Output.from_input(_database(context)),
        postgresql_credentials=secret_map(
            {
                role: {
                    "username": database_login(role),
                    "password": context.secret(f"postgresql-{role}"),
                }
                for role in roles
            }
        ),
        kafka=pulumi.Output.from_input(_broker(context)),
        lakehouse=pulumi.Output.secret(together(lake)),
        mlflow=pulumi.Output.from_input(mlflow),
        gitlab_project=pulumi.Output.all(
            id=project.id if project else "",
            path=project.path if project else "",
            registry=project.registry if project else "",
        ),
        logins=context.logins(),
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
        "databases": list(DATABASES),
    }


def _broker(context: LayerContext) -> dict[str, Any]:
    if not context.has("kafka"):
        return {}
    return {
        "bootstrap": bootstrap(context),
        "inner_bootstrap": context.endpoint("kafka").inner_netloc,
        "topics": {name: topic.group for name, topic in context.get(Kafka).topics.items()},
    }
