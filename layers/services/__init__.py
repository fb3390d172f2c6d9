"""Layer 3: PostgreSQL, Kafka, MLflow, Ollama with Open WebUI, Portainer, the gateway in front of
them, and this repository's project in GitLab.

It needs the foundation's certificates and credentials and the platform's Docker host. It hands up
ServicesOutputs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi
import pulumi_command as command
import pulumi_postgresql as postgres
import pulumi_random as random

from layers.engine import Engine, engine, gitlab_provider
from layers.outputs import FoundationOutputs, PlatformOutputs, ServicesOutputs, login, secret_map
from layers.secrets import Passwords
from layers.services.gateway import Gateway, GatewayArgs
from layers.services.kafka import Kafka, KafkaArgs, bootstrap
from layers.services.mlflow import Mlflow, MlflowArgs
from layers.services.ollama import Ollama, OllamaArgs, OpenWebUi, OpenWebUiArgs
from layers.services.portainer import Portainer, PortainerArgs
from layers.services.postgresql import (
    DATABASES,
    ROLES,
    SUPERUSER,
    Databases,
    DatabasesArgs,
    PostgreSql,
    PostgreSqlArgs,
)
from layers.services.postgresql import login as database_login
from places.trust import trust_file
from settings import Settings
from settings.program import Given

if TYPE_CHECKING:
    from layers.services.gitlab_project import GitLabProject


def deploy(environment: str, settings: Settings, given: Given) -> None:
    """Bring up layer 3 and export its outputs."""
    foundation = FoundationOutputs.read(environment)
    platform = PlatformOutputs.read(environment)
    host = engine("services", settings, platform, given.pushed)
    randoms, commands = random.Provider("random"), command.Provider("command")
    passwords = Passwords("passwords", settings.common, pulumi.ResourceOptions(providers=[randoms]))
    ca = foundation.ca_certificate
    trust = trust_file(ca, settings.common.trust_path)
    project = _gitlab_project(settings, foundation, platform)
    roles = {role: passwords.make(f"postgresql-{role}") for role in ROLES}
    databases = _postgresql(host, foundation, passwords.make("postgresql-admin"), roles, trust)
    Mlflow(
        "mlflow",
        MlflowArgs(
            engine=host,
            registry=project.registry if project else "",
            database=databases["mlflow"],
            password=roles["mlflow"],
            store=foundation.object_store["inner_endpoint"],
            keys=foundation.credentials["mlflow"],
            ca=ca,
        ),
        host.options(),
    )
    Kafka("kafka", KafkaArgs(engine=host), host.options(randoms, commands))
    gateway = Gateway(
        "gateway",
        GatewayArgs(engine=host, ca=ca, server=foundation.certificates["gateway"]),
        host.options(),
    )
    Ollama(
        "ollama",
        OllamaArgs(engine=host, trust=trust, gateway=gateway.container),
        host.options(commands),
    )
    admins = {name: passwords.make(f"{name}-admin") for name in ("open-webui", "portainer")}
    OpenWebUi(
        "open-webui",
        OpenWebUiArgs(
            engine=host,
            password=admins["open-webui"],
            session_key=passwords.make("open-webui-session"),
        ),
        host.options(),
    )
    local = settings.common.target.kind == "docker"
    Portainer(
        "portainer",
        PortainerArgs(
            engine=host,
            password=admins["portainer"],
            server=foundation.certificates["portainer"],
            ca=ca,
            client=None if local else foundation.certificates["docker-client"],
        ),
        host.options(),
    )
    if project:
        _ci_access(host, foundation, platform, project, roles)
    _outputs(host, project, roles, admins).export()


def _gitlab_project(
    settings: Settings, foundation: FoundationOutputs, platform: PlatformOutputs
) -> "GitLabProject | None":
    """The project, where there is a GitLab."""
    if not settings.platform.gitlab.enabled:
        return None
    # Imported here, as it needs pulumi_gitlab; see layers.engine.
    from layers.services.gitlab_project import GitLabProject, GitLabProjectArgs

    return GitLabProject(
        "gitlab",
        GitLabProjectArgs(
            settings=settings.services.gitlab_project,
            timezone=settings.common.timezone,
            registry=platform.gitlab["registry"],
            variables={"DATALAB_VAULT_ADDR": foundation.vault["inner_address"]},
            files={"DATALAB_CA_FILE": foundation.ca_certificate},
            protect=settings.common.protect,
        ),
        pulumi.ResourceOptions(providers=[gitlab_provider(settings, foundation, platform)]),
    )


def _postgresql(
    host: Engine,
    foundation: FoundationOutputs,
    admin: pulumi.Output[str],
    roles: Mapping[str, pulumi.Output[str]],
    trust: pulumi.Output[str],
) -> Mapping[str, pulumi.Output[str]]:
    """The server, and what is in it: the names of the databases."""
    server = PostgreSql(
        "postgresql",
        PostgreSqlArgs(engine=host, password=admin, server=foundation.certificates["postgresql"]),
        host.options(),
    )
    where = host.endpoint("postgresql")
    provider = postgres.Provider(
        "postgresql",
        host=server.container.id.apply(lambda _: str(where.address)),
        # Without these the provider takes what the shell's PG* variables say.
        port=where.port,
        username=SUPERUSER,
        database="postgres",
        password=admin,
        sslmode="verify-full",  # by default the CA and the name go unchecked
        sslrootcert=trust,
        # No max_connections: with 1 the provider waits for itself in about half of all runs, as
        # it asks for a connection while it holds one (resource_postgresql_database.go).
    )
    return Databases(
        "databases",
        DatabasesArgs(passwords=roles, protect=host.host.protect),
        pulumi.ResourceOptions(providers=[provider]),
    ).names


def _ci_access(
    host: Engine,
    foundation: FoundationOutputs,
    platform: PlatformOutputs,
    project: "GitLabProject",
    roles: Mapping[str, pulumi.Output[str]],
) -> None:
    """What CI jobs may do in Vault, and what they find there."""
    # Imported here, as pulumi_vault takes 0.25 s and a lab without GitLab has no jobs.
    from layers.services.ci_access import CiAccess, CiAccessArgs
    from layers.services.gitlab_project import BRANCH
    from layers.vault import vault_provider

    identity = foundation.vault_identities["services"]
    provider = vault_provider(host.settings, foundation.ca_certificate, identity)
    database, broker = host.endpoint("postgresql"), host.endpoint("kafka")
    # Jobs and Vault are in the containers' network in `dev` only.
    inside = host.settings.common.target.kind == "docker"
    server = {
        "host": database.inner_host if inside else database.host,
        "port": str(database.inner_port if inside else database.port),
        "sslmode": "verify-full",
    }
    models = host.endpoint("ollama")
    CiAccess(
        "ci-access",
        CiAccessArgs(
            accessor=platform.vault_jwt_accessor,
            project_id=project.id,
            records={
                "infra/provision/postgres": {
                    **server,
                    "user": database_login("provisioner"),
                    "password": roles["provisioner"],
                    "vault_user": "vault",
                },
                "infra/provision/kafka": {
                    "bootstrap": f"{broker.inner_host}:{broker.inner_port}"
                    if inside
                    else bootstrap(host)
                },
                "infra/provision/ollama": {"url": models.inner_url if inside else models.url},
                "shared/provision": {
                    "url": host.endpoint("gitlab").inner_url,
                    "project_id": project.id,
                    "ref": BRANCH,
                    "trigger_token": project.tokens["trigger"],
                    "read_token": project.tokens["status"],
                },
                "infra/ci/notes": {"GITLAB_TOKEN": project.tokens["notes"]},
            },
            database={
                **server,
                "ca": foundation.ca_certificate,
                "username": database_login("vault"),
                "password": roles["vault"],
            },
        ),
        pulumi.ResourceOptions(providers=[provider]),
    )


def _outputs(
    host: Engine,
    project: "GitLabProject | None",
    roles: Mapping[str, pulumi.Output[str]],
    admins: Mapping[str, pulumi.Output[str]],
) -> ServicesOutputs:
    def addresses(name: str) -> pulumi.Output[dict[str, str]]:
        endpoint = host.endpoint(name)
        return pulumi.Output.from_input({"url": endpoint.url, "inner_url": endpoint.inner_url})

    database, broker = host.endpoint("postgresql"), host.endpoint("kafka")
    topics = host.settings.services.kafka.topics
    users = {"open-webui": host.settings.services.open_webui.admin_email, "portainer": "admin"}
    return ServicesOutputs(
        postgresql=pulumi.Output.from_input(
            {
                "host": database.host,
                "port": database.port,
                "inner_host": database.inner_host,
                "inner_port": database.inner_port,
                "databases": list(DATABASES),
            }
        ),
        postgresql_credentials=secret_map(
            {
                role: {"username": database_login(role), "password": value}
                for role, value in roles.items()
            }
        ),
        kafka=pulumi.Output.from_input(
            {
                "bootstrap": bootstrap(host),
                "inner_bootstrap": f"{broker.inner_host}:{broker.inner_port}",
                "topics": {topic: wanted.group for topic, wanted in topics.items()},
            }
        ),
        mlflow=addresses("mlflow"),
        ollama=addresses("ollama"),
        open_webui=addresses("open-webui"),
        portainer=addresses("portainer"),
        gateway=addresses("gateway"),
        gitlab_project=pulumi.Output.all(
            id=project.id if project else "",
            path=project.path if project else "",
            registry=project.registry if project else "",
        ),
        logins=secret_map(
            {
                name: login(host.endpoint(name), users[name], password)
                for name, password in admins.items()
            }
        ),
    )
