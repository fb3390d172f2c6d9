"""A DuckDB connection with the lakehouse's catalogs attached."""

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import duckdb

from datalab_edge.credentials import Lake

# ducklake itself needs the other two.
EXTENSIONS = ("postgres_scanner", "httpfs", "ducklake")
# Seconds until a database that does not answer is an error: a lost network would otherwise hold a
# transaction for the two hours of TCP's own limits.
CONNECT_S, SILENT_S = 10, 30
# The smallest that httpfs takes: it holds a ten-thousandth of it in memory for each file that is
# written, and the default of 800 GB makes that 80 MB.
LARGEST_FILE = "50GB"
DATABASE = "database"  # under this name PostgreSQL itself is attached


def connect(
    lake: Lake,
    catalogs: Iterable[str] | None = None,
    *,
    name: str = "datalab-edge",
    **options: str | int | bool,
) -> duckdb.DuckDBPyConnection:
    """A connection with these catalogs attached, or all; `options` are settings of DuckDB."""
    connection = duckdb.connect(
        config={
            # Extensions come from the Python registry with the version that this DuckDB has; its
            # own way of getting them asks a vendor's host.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            **options,
        }
    )
    for extension in EXTENSIONS:
        connection.load_extension(str(extension_file(extension)))
    for statement in attach_statements(lake, catalogs, name=name):
        connection.execute(statement)
    return connection


def attach_statements(lake: Lake, catalogs: Iterable[str] | None = None, *, name: str) -> list[str]:
    """The SQL that attaches these catalogs, or all, once the extensions are loaded."""
    chosen = lake.catalogs if catalogs is None else catalogs
    statements = [f"SET GLOBAL s3_uploader_max_filesize = {quoted(LARGEST_FILE)}"]
    if lake.ca:
        # Of all connections: deleting orphaned files opens one of its own.
        statements.append(f"SET GLOBAL ca_cert_file = {quoted(str(ca_file(lake.ca)))}")
    statements.append(_store_secret(lake))
    for catalog in chosen:
        statements += _attach(lake, catalog, name, "")
    return statements


def attach(
    connection: duckdb.DuckDBPyConnection, lake: Lake, catalog: str, *, name: str, create: str = ""
) -> None:
    """Attach one catalog; with `create`, options of a new one, it is made where it is missing."""
    for statement in _attach(lake, catalog, name, create):
        connection.execute(statement)


def _attach(lake: Lake, catalog: str, name: str, create: str) -> list[str]:
    words = ["CREATE_IF_NOT_EXISTS false"]
    if create:
        # Of a new catalog only: one that is there knows its own, and refuses another.
        words = [create, f"DATA_PATH {quoted(data_path(lake, catalog))}"]
    if lake.catalogs[catalog].reads:
        words.append("READ_ONLY")
    return [
        *_catalog_secrets(lake, catalog, name),
        f"ATTACH 'ducklake:lake_{catalog}' AS {identifier(catalog)} ({', '.join(words)})",
    ]


def attach_database(
    connection: duckdb.DuckDBPyConnection, lake: Lake, catalog: str, *, name: str
) -> None:
    """Attach PostgreSQL itself as DATABASE, as the role of a catalog."""
    connection.execute(_catalog_secrets(lake, catalog, name)[0])
    connection.execute(
        f"ATTACH {quoted(_options(lake, name))} AS {DATABASE} "
        f"(TYPE postgres, SECRET database_{catalog})"
    )


def data_path(lake: Lake, catalog: str) -> str:
    """Where a new catalog keeps its files; a catalog that is there knows its own."""
    return f"s3://{lake.s3.bucket}/{catalog.replace('_', '-')}/"


def extension_file(extension: str) -> Path:
    """The file of an extension, from its package of the Python registry."""
    spec = find_spec(f"duckdb_extension_{extension}")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        file = Path(folder, f"extensions/v{duckdb.__version__}/{extension}.duckdb_extension")
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"DuckDB {duckdb.__version__} has no extension {extension}: install "
        f"duckdb-extension-{extension.replace('_', '-')}=={duckdb.__version__}"
    )


def quoted(text: str) -> str:
    """As a text of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """As a name of SQL."""
    return '"' + name.replace('"', '""') + '"'


@cache
def ca_file(pem: str) -> Path:
    """A file with the certificate, as libpq and httpfs take nothing else; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="datalab-ca-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "ca.pem"
    file.write_text(pem)
    return file


def _store_secret(lake: Lake) -> str:
    store = lake.s3
    return f"""CREATE OR REPLACE SECRET lake_store (
        TYPE s3,
        KEY_ID {quoted(store.access_key)},
        SECRET {quoted(store.secret_key.get_secret_value())},
        ENDPOINT {quoted(f"{store.endpoint.host}:{store.endpoint.port}")},
        USE_SSL {str(store.endpoint.scheme == "https").lower()},
        URL_STYLE 'path',
        REGION {quoted(store.region)},
        SCOPE {quoted(f"s3://{store.bucket}")}
    )"""


def _options(lake: Lake, name: str) -> str:
    """libpq's options that a secret has no fields for; no value here needs its quoting."""
    root = ca_file(lake.ca) if lake.ca else "system"
    return (
        f"sslmode=verify-full sslrootcert={root} application_name={name} "
        f"connect_timeout={CONNECT_S} keepalives_idle={SILENT_S} "
        f"tcp_user_timeout={SILENT_S * 1000}"
    )


def _catalog_secrets(lake: Lake, catalog: str, name: str) -> list[str]:
    """Of the database, and of the catalog in it."""
    server, login = lake.postgresql, lake.catalogs[catalog]
    return [
        f"""CREATE OR REPLACE SECRET database_{catalog} (
            TYPE postgres,
            HOST {quoted(server.host)},
            PORT {server.port},
            DATABASE {quoted(server.database)},
            USER {quoted(login.user)},
            PASSWORD {quoted(login.password.get_secret_value())}
        )""",
        f"""CREATE OR REPLACE SECRET lake_{catalog} (
            TYPE ducklake,
            METADATA_PATH {quoted(_options(lake, name))},
            METADATA_SCHEMA {quoted(catalog)},
            METADATA_PARAMETERS MAP {{'TYPE': 'postgres', 'SECRET': 'database_{catalog}'}}
        )""",
    ]
