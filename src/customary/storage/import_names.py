"""What a file that is imported names, held against itself and against the account: each name is to be one customer's.

The names of a file may be millions, so they are compared where there is room for them: in a temporary table, which is
gone with the session and which nobody else sees.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from customary.domain.transfer import RowProblem
from customary.storage.database import Connection

# What a line names: kind, name and line.
Named: TypeAlias = tuple[str, str, int]


class Kind(StrEnum):
    """What a name is."""

    ID = "ID"
    ALIAS = "ALIAS"
    ALIAS_LIKE_ID = "ALIAS_LIKE_ID"  # an alias that reads as an id, in the form of one
    CONTACT = "CONTACT"
    OWNER = "OWNER"


_TABLE = """
DROP TABLE IF EXISTS pg_temp.import_names, pg_temp.import_edges;
CREATE TEMPORARY TABLE import_names (kind text COLLATE "C", name text COLLATE "C", line bigint);
"""
_INDEX = """
CREATE INDEX import_names_by_name ON pg_temp.import_names (kind, name);
ANALYZE pg_temp.import_names;
"""
_DROP = "DROP TABLE IF EXISTS pg_temp.import_names, pg_temp.import_edges"
# Where in the file an owner stands. An alias wins where a text is both, as everywhere.
_OWN_LINE = """
LEFT JOIN LATERAL (SELECT f.line FROM pg_temp.import_names f
                    WHERE f.kind IN ('ID', 'ALIAS') AND f.name IN (n.name, lower(n.name))
                      AND (f.kind = 'ID' OR f.name = n.name) ORDER BY f.kind LIMIT 1) own ON true
"""
# Who is there already does not become a member of anybody, so a circle is one of the lines of this file.
_EDGES = f"""
CREATE TEMPORARY TABLE import_edges AS
SELECT n.line AS member, own.line AS owner FROM pg_temp.import_names n {_OWN_LINE}
 WHERE n.kind = 'OWNER' AND own.line <> n.line;
CREATE INDEX import_edges_by_member ON pg_temp.import_edges (member);
"""  # noqa: S608 - constants
# With `skip`, a row whose id is there is not imported, so what else it names does not matter.
_SKIPPED = """
n.line NOT IN (SELECT i.line FROM pg_temp.import_names i JOIN customers c ON c.account_id = $1 AND c.id = i.name::uuid
                WHERE i.kind = 'ID' AND $2)
"""
_AS_ID = "CASE WHEN n.name ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.name::uuid END"

# Each finds lines with the column at fault and a sentence.
_QUESTIONS = {
    "repeated": """
SELECT n.line, CASE n.kind WHEN 'ID' THEN 'id' WHEN 'ALIAS' THEN 'customerAliases' ELSE 'contacts' END AS "column",
       format(CASE n.kind WHEN 'ID' THEN 'The id %s stands in line %s already.'
                          WHEN 'ALIAS' THEN 'The alias ''%s'' is one of line %s already.'
                          ELSE 'The id %s of a contact stands in line %s already.' END, n.name, n.first) AS message
  FROM (SELECT *, first_value(n.line) OVER w AS first, row_number() OVER w AS number
          FROM pg_temp.import_names n WHERE n.kind IN ('ID', 'ALIAS', 'CONTACT')
        WINDOW w AS (PARTITION BY n.kind, n.name ORDER BY n.line)) n
 WHERE n.number > 1 AND {skipped}
""",
    "held aliases": """
SELECT n.line, 'customerAliases' AS "column",
       format('The alias ''%s'' belongs to customer %s (''%s'') of this account.', n.name, c.id, c.legal_name)
       AS message
  FROM pg_temp.import_names n
  JOIN customer_aliases a ON a.account_id = $1 AND a.value = n.name
  JOIN customers c ON c.account_id = $1 AND c.id = a.customer_id
 WHERE n.kind = 'ALIAS' AND {skipped}
""",
    "aliases that are ids": """
SELECT n.line, 'customerAliases' AS "column",
       format('''%s'' is the id of another customer and cannot be an alias.', n.name) AS message
  FROM pg_temp.import_names n
 WHERE n.kind = 'ALIAS_LIKE_ID' AND {skipped}
   AND (EXISTS (SELECT FROM customers c WHERE c.account_id = $1 AND c.id = n.name::uuid)
        OR EXISTS (SELECT FROM pg_temp.import_names i WHERE i.kind = 'ID' AND i.name = n.name AND i.line <> n.line))
""",
    "ids that are there": """
SELECT n.line, 'id' AS "column",
       format('There is a customer %s (''%s'') in this account already.', c.id, c.legal_name) AS message
  FROM pg_temp.import_names n JOIN customers c ON c.account_id = $1 AND c.id = n.name::uuid
 WHERE n.kind = 'ID' AND NOT $2
UNION ALL
SELECT n.line, 'id',
       format('''%s'' is an alias of customer %s and cannot be the id of another one.', n.name, a.customer_id)
  FROM pg_temp.import_names n
  JOIN customer_aliases a ON a.account_id = $1 AND a.value IN (n.name, upper(n.name)) AND a.customer_id <> n.name::uuid
 WHERE n.kind = 'ID'
UNION ALL
SELECT n.line, 'contacts', format('There is a contact with the id %s in this account already.', n.name)
  FROM pg_temp.import_names n JOIN contacts k ON k.account_id = $1 AND k.id = n.name::uuid
 WHERE n.kind = 'CONTACT' AND {skipped}
""",
    "unknown owners": """
SELECT n.line, 'parentId' AS "column", CASE
       WHEN own.line = n.line THEN 'A customer cannot be a member of its own organisation.'
       WHEN held.id IS NULL AND own.line IS NULL
            THEN format('There is no customer ''%s'', neither in this account nor in this file.', n.name)
       ELSE format('Customer ''%s'' is archived and takes no members.', n.name) END AS message
  FROM pg_temp.import_names n
  {own_line}
  LEFT JOIN LATERAL (SELECT c.id, c.archived_at FROM customers c WHERE c.account_id = $1
                        AND c.id = coalesce((SELECT a.customer_id FROM customer_aliases a
                                              WHERE a.account_id = $1 AND a.value = n.name), {as_id})) held ON true
 WHERE n.kind = 'OWNER' AND {skipped}
   AND (own.line = n.line OR own.line IS NULL AND (held.id IS NULL OR held.archived_at IS NOT NULL))
""",
    "circles": """
SELECT e.member AS line, 'parentId' AS "column",
       'This makes a circle: the customer would be above itself, or below such a circle.' AS message
  FROM (SELECT DISTINCT member FROM pg_temp.import_edges) e
""",
}


async def begin(owner: Connection) -> None:
    """Make room for the names of a file."""
    await owner.execute(_TABLE)


async def add(owner: Connection, named: Sequence[Named]) -> None:
    """Take in names."""
    await owner.copy_records_to_table(
        "import_names", schema_name="pg_temp", columns=("kind", "name", "line"), records=named
    )


async def problems(owner: Connection, account_id: UUID, *, skip: bool, most: int) -> tuple[list[RowProblem], int]:
    """What is wrong with the names that were taken in: the first of it by line, and how much there is of it."""
    await owner.execute(_INDEX)
    await owner.execute(_EDGES)
    await _leave_circles(owner)
    found: list[RowProblem] = []
    total = 0
    for text in _QUESTIONS.values():
        question = text.format(skipped=_SKIPPED, as_id=_AS_ID, own_line=_OWN_LINE)
        counted = f"""
            SELECT q.line, q."column", q.message, count(*) OVER () AS total FROM ({question}) q
             WHERE $1::uuid IS NOT NULL AND $2::boolean IS NOT NULL ORDER BY q.line LIMIT $3
        """  # noqa: S608 - constants
        rows = await owner.fetch(counted, account_id, skip, most)
        found += [RowProblem(row["line"], row["column"], row["message"]) for row in rows]
        total += rows[0]["total"] if rows else 0
    return sorted(found, key=lambda each: (each.line, each.column))[:most], total


async def _leave_circles(owner: Connection) -> None:
    """Whoever is a member of nobody is no part of a circle, nor is then who is a member of them alone; the rest is."""
    no_member = "SELECT FROM pg_temp.import_edges u WHERE u.member = e.owner"
    while await owner.execute(f"DELETE FROM pg_temp.import_edges e WHERE NOT EXISTS ({no_member})") != "DELETE 0":  # noqa: S608 - constants
        pass


async def end(owner: Connection) -> None:
    """Let go of the names."""
    if not owner.is_closed():
        await owner.execute(_DROP)
