"""A database as an earlier release left it: migrated up to one version and no further."""

from importlib import resources

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.support.clients import owner_connection
from tests.support.cluster import Database

from customary.storage import migrate, schema


async def go_back_to(database: Database, version: str) -> None:
    """Remove all that is in this database, and migrate it to this version."""
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("DROP SCHEMA customary CASCADE")
    await migrate._prepare(database.owner_url)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(database.owner_url, server_settings={"search_path": schema.SEARCH_PATH}),
        poolclass=NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade, version)
    await engine.dispose()
    assert await schema.current(database.owner_url) == version


def _upgrade(connection: Connection, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("customary.storage.migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, version)
