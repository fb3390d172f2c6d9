"""Databases and buckets of one's own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from settings import SettingsError, generated, load
from settings.sections import sections
from settings.services.postgresql import EXTENSIONS
from tests.harness.deploy import settings_of
from tests.harness.patched import patched
from tests.harness.postgresql import postgresql

DATABASES = "services.postgresql.databases"


def faults(change: Mapping[str, object]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(patched("dev", change), "fixture")
    return caught.value.faults


@pytest.mark.parametrize(
    ("name", "whose"),
    [("lakehouse", "the lab's"), ("provisioner", "the lab's"), ("template1", "PostgreSQL's")],
)
def test_a_name_that_is_taken_is_refused_for_database_and_owner(name: str, whose: str) -> None:
    text = f"{name} is {whose} own; choose another name"
    assert faults({DATABASES: {name: {}}}) == (f"datalab:{DATABASES}.{name}: {text}",)
    change = {DATABASES: {"shop": {"owner": name}}}
    assert faults(change) == (f"datalab:{DATABASES}.shop.owner: {text}",)


def test_an_extension_that_the_image_lacks_is_named_with_the_nearest() -> None:
    change = {DATABASES: {"shop": {"extensions": ["hstore", "pg_tgrm"]}}}
    assert faults(change) == (
        f"datalab:{DATABASES}.shop.extensions[1]: PostgreSQL's image lacks pg_tgrm; "
        "did you mean pg_trgm?",
    )


def test_a_bucket_of_the_labs_own_is_refused() -> None:
    key = "foundation.object_store.buckets"
    text = "backups is the lab's own; choose another name"
    assert faults({key: {"backups": {}}}) == (f"datalab:{key}.backups: {text}",)


def test_their_passwords_can_be_rotated_while_they_are_there() -> None:
    change = {
        DATABASES: {"shop": {}, "stock": {"owner": "shop"}},
        "foundation.object_store.buckets": {"pictures": {}},
    }
    names = ("bucket-pictures", "database-shop")
    assert generated.of_entries(sections(settings_of("dev", change))) == names
    settings_of("dev", {**change, "common.generations": dict.fromkeys(names, 2)})
    (fault,) = faults({"common.generations": {"database-shop": 2}})
    assert fault.startswith("datalab:common.generations.database-shop: is not a secret")


@pytest.mark.service
def test_the_server_has_every_extension(tmp_path: Path) -> None:
    with postgresql(tmp_path) as server, server.connect() as connection:
        rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
    assert {name for (name,) in rows} >= EXTENSIONS
