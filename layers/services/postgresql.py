"""PostgreSQL: the server, its roles and databases."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_docker as docker
import pulumi_postgresql as postgresql

from layers.context import Component, LayerContext
from settings.services.postgresql import PostgreSql as Settings
from settings.services.postgresql import owners, password
from targets import Container, File, Health
from targets.templates import render

FILES = Path(__file__).parent / "files"
SUPERUSER = "postgres"
FOLDER = "/etc/postgresql"
OWNER = 999  # the user postgres of the image
# Each owned by a role of its name.
DATABASES = ("mlflow", "lakehouse")
LAKEHOUSE, SECURE, READER = "lakehouse", "lakehouse-secure", "lakehouse-reader"
# Database -> further roles that may enter it, and what they may do there. Who owns a catalog makes
# its schema, and DuckLake changes its own tables by way of temporary ones.
GUESTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    LAKEHOUSE: {SECURE: ("CONNECT", "CREATE", "TEMPORARY"), READER: ("CONNECT",)},
}
# Role -> what it may do beyond its own databases: `provision` makes databases and roles for other
# projects, and Vault makes short-lived roles in them.
ROLES: Mapping[str, tuple[str, ...]] = {
    "mlflow": (),
    LAKEHOUSE: (),
    SECURE: (),
    READER: (),
    "provisioner": ("create_database", "create_role"),
    "vault": ("create_role",),
}
WORKERS = tuple(role for role, rights in ROLES.items() if rights)
# Databases that every server has -> who may enter them. By default that is everybody, and who takes
# an advisory lock there, as `provision` does, keeps it from all others.
COMMON: Mapping[str, tuple[str, ...]] = {"postgres": WORKERS, "template1": ()}
# With it the lab's own get in when other projects hold all other connections.
RESERVED = "pg_use_reserved_connections"


def login(role: str) -> str:
    """Who logs in for a role of ROLES: itself, but for a worker another role, which works as it.

    Whatever changes in a role, its password too, the provider takes away all its memberships and
    grants those that it knows (revokeRoles in resource_postgresql_role.go). A worker has others: it
    is a member of all that it made, so it never changes and has no password. No project can ask for
    a name with a hyphen (provision/specs.py).
    """
    return f"{role}-login" if role in WORKERS else role


class PostgreSql(Component):
    """The server."""

    TYPE = "datalab:services:PostgreSql"

    container: docker.Container

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        self.container = context.run(self, name, _container(context))
        self.register_outputs({"id": self.container.id})


def _container(context: LayerContext) -> Container:
    wanted, server = context.get(Settings), context.certificate("postgresql")
    size = wanted.container
    configuration = render(
        FILES / "postgresql.conf.j2",
        {
            "folder": FOLDER,
            "memory_mib": size.memory_mib,
            "max_connections": wanted.max_connections,
            "timezone": context.settings.common.timezone,
        },
    )
    return Container(
        image=context.image(Settings),
        memory_mib=size.memory_mib,
        cpus=size.cpus,
        # Docker's default of 64 MiB is what parallel queries run out of first.
        shm_mib=max(64, size.memory_mib // 4),
        entrypoint=["/bin/bash", f"{FOLDER}/start.sh"],
        environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/postgresql-admin"},
        files={
            f"{FOLDER}/start.sh": File(content=(FILES / "postgresql.sh").read_text()),
            f"{FOLDER}/postgresql.conf": File(content=configuration),
            f"{FOLDER}/workers.sql": File(
                content=render(FILES / "postgresql-workers.sql.j2", {"workers": WORKERS})
            ),
            f"{FOLDER}/pg_hba.conf": File(content=(FILES / "pg_hba.conf").read_text()),
            f"{FOLDER}/server.crt": File(content=server["certificate"]),
            # The server refuses a key that others may read.
            f"{FOLDER}/server.key": File(content=server["key"], mode="0400", owner=OWNER),
            "/run/secrets/postgresql-admin": File(
                content=context.secret("postgresql-admin"), mode="0400", owner=OWNER
            ),
        },
        # Version 18's image keeps its data in a folder of this one: a volume at the former place
        # would stay empty (docker-library/postgres#1400).
        # The image's entry point gives the server its folders, and becomes its user.
        capabilities=("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"),
        volumes={"postgresql-data": "/var/lib/postgresql"},
        ports=context.ports("postgresql"),
        stop_s=60,  # a checkpoint of all that memory holds
        # By address: while the image prepares a new volume, a server answers on the socket only.
        health=Health(test=("CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", SUPERUSER)),
    )


class Databases(Component):
    """Roles, and databases that nobody but their owner may enter.

    names maps a database to its name, known once it is there.
    """

    TYPE = "datalab:services:Databases"
    NAME = "databases"

    names: Mapping[str, pulumi.Output[str]]

    @classmethod
    def providers(cls, context: LayerContext) -> Sequence[pulumi.ProviderResource]:
        """The server's own."""
        server, where = context.component(PostgreSql), context.endpoint("postgresql")
        provider = postgresql.Provider(
            "postgresql",
            host=server.container.id.apply(lambda _: str(where.address)),
            # Without these the provider takes what the shell's PG* variables say.
            port=where.port,
            username=SUPERUSER,
            database="postgres",
            password=context.secret("postgresql-admin"),
            sslmode="verify-full",  # by default the CA and the name go unchecked
            sslrootcert=context.trust,
            # No max_connections: with 1 the provider waits for itself in about half of all runs,
            # as it asks for a connection while it holds one (resource_postgresql_database.go).
        )
        return [provider]

    def __init__(
        self, name: str, context: LayerContext, opts: pulumi.ResourceOptions | None = None
    ):
        super().__init__(name, context, opts)
        child = pulumi.ResourceOptions(parent=self, protect=context.protect)
        passwords = {role: context.secret(f"postgresql-{role}") for role in ROLES}
        roles = {
            role: postgresql.Role(
                f"{role}-role",
                name=role,
                login=role not in WORKERS,
                password=None if role in WORKERS else passwords[role],
                create_database="create_database" in rights,
                create_role="create_role" in rights,
                roles=None if role in WORKERS else [RESERVED],
                opts=_unchanged(child) if role in WORKERS else child,
            )
            for role, rights in ROLES.items()
        }
        for role in WORKERS:
            postgresql.Role(
                login(role),
                name=login(role),
                login=True,
                password=passwords[role],
                roles=[roles[role].name, RESERVED],
                assume_role=roles[role].name,
                opts=child,
            )
        self.names = {
            database: self._database(database, roles[database].name, context.protect)
            for database in DATABASES
        }
        for database, guests in GUESTS.items():
            for guest, rights in guests.items():
                postgresql.Grant(
                    f"{database}-{guest}",
                    database=self.names[database],
                    role=roles[guest].name,
                    object_type="database",
                    privileges=list(rights),
                    opts=pulumi.ResourceOptions(parent=self),
                )
        self._own(context, child)
        for database, users in COMMON.items():
            self._closed(database, database)
            for user in users:
                postgresql.Grant(
                    f"{database}-{user}",
                    database=database,
                    role=roles[user].name,
                    object_type="database",
                    privileges=["CONNECT"],
                    opts=pulumi.ResourceOptions(parent=self),
                )
        self.register_outputs({})

    def _own(self, context: LayerContext, child: pulumi.ResourceOptions) -> None:
        """The databases of the settings, with a role for each of their owners."""
        wanted = context.get(Settings).databases
        roles = {
            owner: postgresql.Role(
                f"{owner}-role",
                name=owner,
                login=True,
                password=context.secret(password(owner)),
                opts=child,
            )
            for owner in sorted({*owners(wanted).values()})
        }
        for name, owner in owners(wanted).items():
            database = self._database(name, roles[owner].name, context.protect)
            for extension in wanted[name].extensions:
                postgresql.Extension(
                    f"{name}-{extension}-extension",
                    name=extension,
                    database=database,
                    create_cascade=True,  # with those that it needs, as earthdistance needs cube
                    opts=pulumi.ResourceOptions(parent=self),
                )

    def _database(self, name: str, owner: pulumi.Output[str], protect: bool) -> pulumi.Output[str]:
        made = postgresql.Database(
            f"{name}-database",
            name=name,
            owner=owner,
            template="template0",
            encoding="UTF8",
            # Of the C library's orders the only one that an upgrade of the image cannot change.
            lc_collate="C.UTF-8",
            lc_ctype="C.UTF-8",
            opts=pulumi.ResourceOptions(parent=self, protect=protect),
        )
        return self._closed(name, made.name)

    def _closed(self, name: str, database: pulumi.Input[str]) -> pulumi.Output[str]:
        """Take from everybody the right to enter, which a new database gives; its name."""
        closed = postgresql.Grant(
            f"{name}-public",
            database=database,
            role="public",
            object_type="database",
            privileges=[],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return closed.database


def _unchanged(options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Options of a worker, which no `up` may change.

    What provisioning grants to it is read back as drift; and in labs that began when workers logged
    in themselves, the state has a password that start.sh took from the server.
    """
    return pulumi.ResourceOptions.merge(
        options, pulumi.ResourceOptions(ignore_changes=["login", "password", "roles"])
    )


COMPONENT = PostgreSql
