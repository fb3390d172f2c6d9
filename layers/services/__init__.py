"""Layer 3: PostgreSQL, Kafka, MLflow, Ollama with Open WebUI, Portainer, the gateway in front of
them, and this repository's project in GitLab.

It needs the foundation's certificates and credentials and the platform's Docker host. It hands up
ServicesOutputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_command as command
import pulumi_postgresql as postgres
import pulumi_random as random

from layers.engine import Engine, engine, gitlab_provider
from layers.foundation.outputs import FoundationOutputs
from layers.platform.outputs import PlatformOutputs
from layers.secrets import Passwords
from layers.services.gateway import Gateway, GatewayArgs
from layers.services.kafka import Kafka, KafkaArgs, bootstrap
from layers.services.mlflow import Mlflow, MlflowArgs
from layers.services.ollama import Ollama, OllamaArgs, OpenWebUi, OpenWebUiArgs
from layers.services.outputs import ServicesOutputs
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
from places.trust import trust_file
from settings import Settings
from settings.program import Secrets

if TYPE_CHECKING:
    from layers.services.gitlab_project import GitLabProject


@dataclass(frozen=True, kw_only=True)
class _Base:
    """What every part of the layer is made from."""

    settings: Settings
    foundation: FoundationOutputs
    platform: PlatformOutputs
    engine: Engine
    passwords: Passwords
    trust: pulumi.Output[str]  # path of the lab CA's certificate
    random: random.Provider
    command: command.Provider


def deploy(environment: str, settings: Settings, secrets: Secrets) -> None:
    """Bring up layer 3 and export its outputs."""
    foundation = FoundationOutputs.read(environment)
    platform = PlatformOutputs.read(environment)
    randoms = random.Provider("random")
    base = _Base(
        settings=settings,
        foundation=foundation,
        platform=platform,
        engine=engine("services", settings, foundation, platform),
        passwords=Passwords(
            "passwords",
            settings.common.generations,
            pulumi.ResourceOptions(providers=[randoms]),
        ),
        trust=trust_file(foundation.ca_certificate, settings.common.trust_path),
        random=randoms,
        command=command.Provider("command"),
    )
    project = _gitlab_project(base)
    logins = _postgresql(base, project)
    _kafka(base)
    _ollama(base)
    _portainer(base)
    _gateway(base)
    _outputs(base, project, logins).export()


def _gitlab_project(base: _Base) -> "GitLabProject | None":
    """The project, where there is a GitLab."""
    settings, platform = base.settings, base.platform
    if not settings.platform.gitlab.enabled:
        return None
    # Imported here, as it needs pulumi_gitlab, see layers.engine.
    from layers.services.gitlab_project import GitLabProject, GitLabProjectArgs

    vault = base.engine.endpoint("vault")
    return GitLabProject(
        "gitlab",
        GitLabProjectArgs(
            settings=settings.services.gitlab_project,
            timezone=settings.common.timezone,
            registry=platform.gitlab["registry"],
            variables={"DATALAB_VAULT_ADDR": vault.inner_url},
            files={"DATALAB_CA_FILE": base.foundation.ca_certificate},
            protect=settings.common.protect,
        ),
        pulumi.ResourceOptions(providers=[gitlab_provider(settings, base.foundation, platform)]),
    )


def _postgresql(base: _Base, project: "GitLabProject | None") -> Mapping[str, pulumi.Output[str]]:
    """PostgreSQL and what needs its logins; the passwords by role."""
    settings, where = base.settings, base.engine.endpoint("postgresql")
    certificate = _certificate(base, "postgresql")
    admin = base.passwords.make("postgresql-admin")
    server = PostgreSql(
        "postgresql",
        PostgreSqlArgs(
            settings=settings.services.postgresql,
            engine=base.engine,
            password=admin,
            certificate=certificate["certificate"],
            key=certificate["key"],
        ),
        base.engine.options(),
    )
    provider = postgres.Provider(
        "postgresql",
        host=server.container.id.apply(lambda _: str(where.address)),
        port=where.port,
        username=SUPERUSER,
        password=admin,
        database="postgres",
        sslmode="verify-full",
        sslrootcert=base.trust,
        # Parallel grants on one database fail with "tuple concurrently updated".
        max_connections=1,
    )
    passwords = {role: base.passwords.make(f"postgresql-{role}") for role in ROLES}
    databases = Databases(
        "databases",
        DatabasesArgs(passwords=passwords, protect=settings.common.protect),
        pulumi.ResourceOptions(providers=[provider]),
    )
    keys = base.foundation.credentials["mlflow"]
    Mlflow(
        "mlflow",
        MlflowArgs(
            settings=settings.services.mlflow,
            engine=base.engine,
            registry=project.registry if project else "",
            database=databases.names["mlflow"],
            password=passwords["mlflow"],
            store=base.foundation.object_store["inner_endpoint"],
            access_key=keys["access_key"],
            secret_key=keys["secret_key"],
            ca=base.foundation.ca_certificate,
        ),
        base.engine.options(),
    )
    return passwords


def _certificate(base: _Base, name: str) -> pulumi.Output[dict[str, str]]:
    return pulumi.Output.secret(base.foundation.certificates[name])


def _kafka(base: _Base) -> None:
    Kafka(
        "kafka",
        KafkaArgs(settings=base.settings.services.kafka, engine=base.engine),
        base.engine.options(base.random, base.command),
    )


def _ollama(base: _Base) -> None:
    services = base.settings.services
    Ollama(
        "ollama",
        OllamaArgs(settings=services.ollama, engine=base.engine, trust=base.trust),
        base.engine.options(base.command),
    )
    OpenWebUi(
        "open-webui",
        OpenWebUiArgs(
            settings=services.open_webui,
            engine=base.engine,
            password=base.passwords.make("open-webui-admin"),
            session_key=base.passwords.make("open-webui-session"),
        ),
        base.engine.options(),
    )


def _portainer(base: _Base) -> None:
    own = _certificate(base, "portainer")
    access = None
    if base.settings.common.engine is None:
        client = _certificate(base, "docker-client")
        access = {
            "ca": base.foundation.ca_certificate,
            "certificate": client["certificate"],
            "key": client["key"],
        }
    Portainer(
        "portainer",
        PortainerArgs(
            settings=base.settings.services.portainer,
            engine=base.engine,
            password=base.passwords.make("portainer-admin"),
            certificate=own["certificate"],
            key=own["key"],
            access=access,
        ),
        base.engine.options(),
    )


def _gateway(base: _Base) -> None:
    own = _certificate(base, "gateway")
    Gateway(
        "gateway",
        GatewayArgs(
            settings=base.settings.services.gateway,
            engine=base.engine,
            ca=base.foundation.ca_certificate,
            certificate=own["certificate"],
            key=own["key"],
        ),
        base.engine.options(),
    )


def _outputs(
    base: _Base, project: "GitLabProject | None", passwords: Mapping[str, pulumi.Output[str]]
) -> ServicesOutputs:
    def addresses(name: str) -> pulumi.Output[dict[str, str]]:
        endpoint = base.engine.endpoint(name)
        return pulumi.Output.from_input({"url": endpoint.url, "inner_url": endpoint.inner_url})

    database, broker = base.engine.endpoint("postgresql"), base.engine.endpoint("kafka")
    topics = base.settings.services.kafka.topics
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
        postgresql_credentials=pulumi.Output.secret(
            pulumi.Output.all(**passwords).apply(
                lambda known: {
                    role: {"username": role, "password": password}
                    for role, password in known.items()
                }
            )
        ),
        kafka=pulumi.Output.from_input(
            {
                "bootstrap": bootstrap(base.engine),
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
    )
