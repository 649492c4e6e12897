"""Runs the migrations that a database lacks. Apart from `migrate`, since its imports take half of a command's start."""

from importlib import resources

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from customary.errors import SetupError
from customary.storage.schema import LOCK, session


async def upgrade(url: str) -> None:
    """Run every migration that this database lacks, each in a transaction. Raises `SetupError` where one fails."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: session(url),
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    except (DBAPIError, asyncpg.PostgresError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        message = f"The migration failed and was undone: {cause}"
        raise SetupError(message) from error
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    connection.execute(text(LOCK))
    connection.commit()
    config = Config()
    config.set_main_option("script_location", str(resources.files("customary.storage.migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
