"""All that is in a database, to look for what must not be there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
  JOIN information_schema.tables t USING (table_schema, table_name)
 WHERE c.table_schema = 'customary' AND t.table_type = 'BASE TABLE'
"""


async def everything(owner: "asyncpg.Connection[asyncpg.Record]") -> dict[str, bytes]:
    """Every value of every column of every table, as bytes and as text in one."""
    found: dict[str, bytes] = {}
    for table, column in await owner.fetch(COLUMNS):
        rows = await owner.fetch(f'SELECT "{column}" AS raw, "{column}"::text AS shown FROM "{table}"')  # noqa: S608 - from the catalogue
        values = [value for row in rows for value in (row["raw"], row["shown"]) if value is not None]
        found[f"{table}.{column}"] = b"\0".join(
            value if isinstance(value, bytes) else str(value).encode() for value in values
        )
    return found
