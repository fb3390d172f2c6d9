"""Rules on databases and buckets of one's own."""

from collections.abc import Iterator

from provision import specs
from settings.base import dotted
from settings.declarations import SECRETS
from settings.faults import suggestion
from settings.foundation.object_store import BUCKETS, ObjectStore
from settings.sections import Fault
from settings.services.postgresql import EXTENSIONS, PostgreSql, owners

# The lab's own roles have a password each, and its databases the names of their roles.
OWN_ROLES = frozenset(
    name.removeprefix("postgresql-") for name in SECRETS if name.startswith("postgresql-")
)


def databases(postgresql: PostgreSql) -> Iterator[Fault]:
    """Names of databases and owners are free; PostgreSQL's image has the extensions."""
    for name, owner in owners(postgresql.databases).items():
        key = dotted(("services", "postgresql", "databases", name))
        wanted = postgresql.databases[name]
        if text := _taken(name):
            yield key, text
        if wanted.owner and (text := _taken(owner)):
            yield f"{key}.owner", text
        for number, extension in enumerate(wanted.extensions):
            at = f"{key}.extensions[{number}]"
            if extension not in EXTENSIONS:
                near = suggestion(extension, sorted(EXTENSIONS))
                yield at, f"PostgreSQL's image lacks {extension}; {near}"
            elif extension in wanted.extensions[:number]:
                yield at, f"{extension} stands there twice; remove one"


def _taken(name: str) -> str:
    """Whose a database or role of this name is, if not a person's."""
    if name in OWN_ROLES:
        return f"{name} is the lab's own; choose another name"
    if name in specs.POSTGRES_RESERVED or name.startswith("pg_"):
        return f"{name} is PostgreSQL's own; choose another name"
    return ""


def buckets(store: ObjectStore) -> Iterator[Fault]:
    """Buckets are not the lab's."""
    for name in store.buckets:
        if name in BUCKETS:
            key = dotted(("foundation", "object_store", "buckets", name))
            yield key, f"{name} is the lab's own; choose another name"


RULES = (databases, buckets)
