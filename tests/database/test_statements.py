"""Every statement of the storage layer fits the schema: PostgreSQL itself reads it."""

import importlib
import pkgutil
import re

import asyncpg
from tests.support.clients import owner_connection
from tests.support.cluster import Database

from customary import storage

# A statement begins with one of these; other texts in capitals are parts of one, or sent to no database.
_STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# Modules whose statements are about the cluster or the migration itself, run as scripts.
_OTHER_MODULES = ("embedded", "migrat")


def statements() -> dict[str, str]:
    """The text of every statement, by its full name."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(storage.__path__, f"{storage.__name__}."):
        if module.name.rpartition(".")[2].startswith(_OTHER_MODULES):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.isupper() and isinstance(value, str) and _STATEMENT.match(value):
                found[f"{module.name}.{name}"] = value
    return found


STATEMENTS = statements()


def test_the_statements_are_found() -> None:
    """An empty list would prove nothing."""
    names = {name.removeprefix("customary.storage.") for name in STATEMENTS}
    assert {
        "customers.GET",
        "customers.SAVE_CONTACTS",
        "aliases.HOLDERS",
        "organizations.ANCESTORS",
        "api_keys.FIND_KEY",
    } <= names
    assert len(names) > 20


async def test_every_statement_fits_the_schema(database: Database) -> None:
    faults: dict[str, str] = {}
    async with owner_connection(database.owner_url) as connection:
        for name, text in STATEMENTS.items():
            try:
                await connection.prepare(text)
            except asyncpg.PostgresError as error:
                faults[name] = f"{type(error).__name__}: {error}"
    assert faults == {}
