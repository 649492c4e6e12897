"""What was written down about changes: the activity log and the events, read from the tables themselves."""

import json
from typing import Any

from msgspec import Struct
from tests.support.clients import owner_connection
from tests.support.cluster import Database


class Recorded(Struct, frozen=True):
    """One activity: what was done to what, and which fields were what before and after."""

    verb: str
    object: tuple[str, str]
    target: tuple[str, str] | None
    changes: dict[str, tuple[Any, Any]]


async def activities(database: Database, object_type: str) -> list[Recorded]:
    """All activities about things of this type, oldest first."""
    text = "SELECT * FROM activity_logs WHERE object_type = $1 ORDER BY id"
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch(text, object_type)
    return [
        Recorded(
            verb=row["verb"],
            object=(row["object_type"], str(row["object_id"])),
            target=(row["target_type"], str(row["target_id"])) if row["target_id"] else None,
            changes={each["field"]: (each["before"], each["after"]) for each in json.loads(row["changes"])},
        )
        for row in rows
    ]


async def events(database: Database, customer_id: str) -> list[tuple[int, str, Any]]:
    """The version, type and content of all events of this customer, by version."""
    text = "SELECT version, type, customer FROM complete_events WHERE customer_id = $1::text::uuid ORDER BY version"
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch(text, customer_id)
    return [(row["version"], row["type"], json.loads(row["customer"])) for row in rows]


async def count(database: Database) -> tuple[int, int]:
    """How many activities and how many events there are."""
    async with owner_connection(database.owner_url) as connection:
        return (
            await connection.fetchval("SELECT count(*) FROM activity_logs"),
            await connection.fetchval("SELECT count(*) FROM events"),
        )
