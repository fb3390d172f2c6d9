"""A PostgreSQL database that its own role owns.

The role carries the project's mark as a comment, written in the transaction that creates it, and
only roles with CREATEROLE can change it: so ownership cannot be forged, and there is no moment at
which a role exists without an owner. A database belongs to the owner of its role. The password is
decided in Vault before the server hears of it, so that a crash between the two is repaired by the
next run, and so is a password that somebody changed on the server.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from provision.faults import GIVE_BACK, Fault, Refused
from provision.specs import Postgres
from provision.vault import Record, Vault

ADMIN_PATH = "infra/provision/postgres"
# Any fixed number; one provisioner at a time holds it, as CREATE DATABASE allows no transaction.
LOCK = 0x6461_7461_6C61_62
LOCK_SECONDS = 120
# One project must not hold all connections of the server, which has 100 of them by default.
CONNECTIONS = 20
# What PostgreSQL answers when the password is wrong, or the role may not log in.
MARK = "datalab: "
LOGIN_REFUSED = ("28P01", "28000")


def provision(spec: Postgres, project: str, vault: Vault) -> list[str]:
    """Make database and role as `spec` says and record the credentials. Returns what was done."""
    admin = vault.require(ADMIN_PATH)
    with _explained(), _locked(admin) as connection:
        server = _Server(connection, spec, project)
        server.refuse_foreign()
        if spec.mode == "dynamic":
            server.ensure(verifier=None)
            _dynamic(server, admin, vault)
        else:
            _static(server, admin, vault)
    return server.done


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # The first line only: the rest can quote the statement.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Fault(f"PostgreSQL failed: {reason}") from error


@contextmanager
def _locked(admin: Record) -> Iterator[psycopg.Connection]:
    with psycopg.connect(_conninfo(admin, "postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))
        # Released with the connection, also when this process is killed.
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        yield connection


def _conninfo(server: Record, database: str, **login: str) -> str:
    """`server` has host, port, user, password and, with TLS, sslmode; the CA is the lab's."""
    authority = os.environ.get("VAULT_CACERT")
    if authority and server.get("sslmode", "").startswith("verify"):
        login["sslrootcert"] = authority
    return make_conninfo(
        "",
        **{
            "dbname": database,
            "connect_timeout": "10",
            "application_name": "datalab-provision",
            **{name: value for name, value in server.items() if name != "vault_user"},
            **login,
        },
    )


class _Server:
    """The server's side of one request."""

    def __init__(self, connection: psycopg.Connection, spec: Postgres, project: str) -> None:
        self.connection = connection
        self.spec = spec
        self.project = project
        self.mark = f"{MARK}project {project}"
        self.user = sql.Identifier(spec.user)
        self.database = sql.Identifier(spec.database)
        self.done: list[str] = []

    def refuse_foreign(self) -> None:
        """Refused, unless both names are free or this project's."""
        found, whose = self._whose(self.spec.user)
        if found and whose != self.mark:
            raise Refused(f"postgres.user: role {self.spec.user} {_told(whose)}; {GIVE_BACK}")
        owner = self._owner()
        if owner not in (None, self.spec.user):
            _, whose = self._whose(owner)
            database = f"postgres.database: {self.spec.database}"
            if whose == self.mark:
                raise Refused(f"{database} is your own role {owner}'s; ask for it with that role")
            raise Refused(f"{database} {_told(whose)}; {GIVE_BACK}")

    def ensure(self, verifier: str | None) -> None:
        """Create what is missing. Without `verifier` a new role cannot log in."""
        if not self.connection.execute(
            "SELECT 1 FROM pg_roles WHERE rolname = %s", (self.spec.user,)
        ).fetchone():
            with self.connection.transaction():
                self.connection.execute(
                    sql.SQL("CREATE ROLE {} CONNECTION LIMIT {}").format(self.user, CONNECTIONS)
                )
                self.connection.execute(
                    sql.SQL("COMMENT ON ROLE {} IS {}").format(self.user, sql.Literal(self.mark))
                )
                # Giving a database to a role asks for membership in it.
                self.connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(self.user))
                if verifier:
                    self.set_password(verifier)
            self.done.append(f"created role {self.spec.user}")
        if self._owner() is None:
            # template0 accepts no connections, which would make CREATE DATABASE fail.
            self.connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                    self.database, self.user
                )
            )
            self.done.append(f"created database {self.spec.database}")
        if self.connection.execute(
            "SELECT 1 FROM pg_database d, aclexplode(coalesce(datacl, acldefault('d', datdba))) a"
            " WHERE datname = %s AND a.grantee = 0",
            (self.spec.database,),
        ).fetchone():
            # Everybody may CONNECT to a new database; projects are to see only their own.
            self.connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(self.database)
            )

    def set_password(self, verifier: str) -> None:
        """The server gets a SCRAM verifier: no statement and no log of it holds the password."""
        self.connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(self.user, sql.Literal(verifier))
        )

    def verifier(self, password: str) -> str:
        """The SCRAM verifier of `password`."""
        encrypted = self.connection.pgconn.encrypt_password(
            password.encode(), self.spec.user.encode(), b"scram-sha-256"
        )
        return encrypted.decode()

    def _whose(self, role: str) -> tuple[bool, str]:
        """Whether there is such a role, and the mark on it."""
        row = self.connection.execute(
            "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", (role,)
        ).fetchone()
        return row is not None, str(row[0] or "") if row else ""

    def _owner(self) -> str | None:
        row = self.connection.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s",
            (self.spec.database,),
        ).fetchone()
        return None if row is None else str(row[0])


def _told(mark: str) -> str:
    """Whose a role with this mark is; only the lab's own have none."""
    project = mark.removeprefix(MARK)
    return f"belongs to {project}" if project != mark else "is the lab's own"


def _static(server: _Server, admin: Record, vault: Vault) -> None:
    spec, folder = server.spec, f"projects/{server.project}"
    # By role, as one role can own two databases.
    password = vault.create(
        f"{folder}/postgres-roles/{spec.user}", {"password": secrets.token_hex(24)}
    )["password"]
    server.ensure(server.verifier(password))
    login = _conninfo(admin, spec.database, user=spec.user, password=password)
    try:
        psycopg.connect(login).close()
    except psycopg.OperationalError as error:
        # libpq reports a refused login without its code where TLS is retried: read the text too.
        if error.sqlstate not in LOGIN_REFUSED and not _says_refused(error):
            raise
        server.set_password(server.verifier(password))
        psycopg.connect(login).close()
        server.done.append(f"set the password of role {spec.user} to the one in Vault")
    vault.write(
        f"{folder}/postgres/{spec.name}",
        {**_address(admin, spec), "DB_USER": spec.user, "DB_PASS": password},
    )


def _says_refused(error: psycopg.OperationalError) -> bool:
    text = str(error)
    return "password authentication failed" in text or "is not permitted to log in" in text


def _dynamic(server: _Server, admin: Record, vault: Vault) -> None:
    """Let Vault make users of the owning role, each for an hour."""
    spec, role = server.spec, f"project-{server.project}-{server.spec.database}"
    server.connection.execute(
        sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(
            server.user, sql.Identifier(admin["vault_user"])
        )
    )
    statements = resources.files(__package__) / "sql"
    vault.write_raw(
        f"database/roles/{role}",
        {
            "db_name": "postgres",
            "creation_statements": [
                (statements / "create_user.sql")
                .read_text()
                .replace("@owner@", spec.user)
                .replace("@limit@", str(CONNECTIONS))
            ],
            "revocation_statements": [(statements / "drop_user.sql").read_text()],
            "default_ttl": "1h",
            "max_ttl": "1h",
        },
    )
    vault.write(
        f"projects/{server.project}/postgres-dynamic/{spec.name}",
        {**_address(admin, spec), "CREDENTIALS": f"database/creds/{role}"},
    )


def _address(admin: Record, spec: Postgres) -> Record:
    return {
        "DB_HOST": admin["host"],
        "DB_PORT": admin["port"],
        "DB_NAME": spec.database,
        **({"DB_SSLMODE": admin["sslmode"]} if "sslmode" in admin else {}),
    }
