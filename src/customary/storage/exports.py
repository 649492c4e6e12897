"""All customers of an account as the lines of a file, made by PostgreSQL in one statement and so of one moment.

Customers pass through here as bytes: to read each into Python and to write it again would take three times as long. The
names and forms are those of the newest version of the API; a test compares them with its answers.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import asyncpg

from customary.domain.customer import Service
from customary.domain.transfer import Format
from customary.storage.database import Connection

# Everything comes in the order of the customers' ids, over indexes that have it: the first line needs no sorting of the
# others, and memory stays that of a line.
_PLAN = """
SET LOCAL TIME ZONE 'UTC';
SET LOCAL enable_hashagg = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_sort = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off;
"""


def _time(column: str) -> str:
    """RFC 3339 in UTC with the fraction that there is: PostgreSQL's own form in JSON, but for its `+00:00`."""
    return f"left(to_json({column})::text, -7) || 'Z\"'"


def _text(column: str) -> str:
    return f"to_json({column})::text"


def _object(*members: tuple[str, str, bool]) -> str:
    """A JSON object of these names and JSON texts, without those that are optional and null. The first is neither.

    By `concat`, which leaves out what is null: each `||` would copy all that stands before it.
    """
    first, *others = members
    parts = [f"'{{\"{first[0]}\":'", first[1]]
    for name, value, is_optional in others:
        start = f"',\"{name}\":'"
        parts += [f"{start} || {value}"] if is_optional else [start, value]
    parts.append("'}'")
    return f"concat({', '.join(parts)})"


_CONTACT = _object(
    ("id", "'\"' || k.id || '\"'", False),
    ("name", _text("k.name"), False),
    ("email", _text("k.email"), False),
    ("billingPreference", _text("k.billing_preference"), False),
    ("createdAt", _time("k.created_at"), False),
    ("updatedAt", _time("k.updated_at"), False),
)
_LINK = _object(
    ("service", _text("l.service"), False),
    ("id", _text("l.external_id"), False),
    ("lastSynced", _time("l.last_synced_at"), True),
    ("isPending", "l.is_pending::text", False),
)

_SERVICE_ORDER = f"array_position(ARRAY[{', '.join(repr(each.value) for each in Service)}], l.service)"

_FROM: Final = f"""
  FROM customers c
  LEFT JOIN (SELECT k.customer_id, '[' || string_agg({_CONTACT}, ',' ORDER BY k.created_at, k.id) || ']' AS contacts
               FROM contacts k WHERE k.account_id = :account AND k.archived_at IS NULL
              GROUP BY k.customer_id) contacts ON contacts.customer_id = c.id
  LEFT JOIN (SELECT a.customer_id, json_agg(a.value ORDER BY a.created_at, a.id)::text AS aliases,
                    json_object_agg(a.value, a.label) FILTER (WHERE a.label IS NOT NULL)::text AS labels
               FROM customer_aliases a WHERE a.account_id = :account
              GROUP BY a.customer_id) aliases ON aliases.customer_id = c.id
  LEFT JOIN (SELECT l.customer_id, '[' || string_agg({_LINK}, ',' ORDER BY {_SERVICE_ORDER}) || ']' AS links
               FROM integration_links l WHERE l.account_id = :account
              GROUP BY l.customer_id) links ON links.customer_id = c.id
  LEFT JOIN (SELECT m.customer_id, (array_agg(o.owner_id) FILTER (WHERE m.is_by_parent))[1] AS parent_id,
                    json_agg(o.owner_id ORDER BY o.created_at, o.id) FILTER (WHERE NOT m.is_by_parent)::text
                        AS owner_ids
               FROM organization_members m
               JOIN organizations o ON o.account_id = m.account_id AND o.id = m.organization_id
              WHERE m.account_id = :account
              GROUP BY m.customer_id) owners ON owners.customer_id = c.id
 WHERE c.account_id = :account AND (:has_archived OR c.archived_at IS NULL)
 ORDER BY c.id
"""  # noqa: S608 - constants

_JSONL = _object(
    ("id", "'\"' || c.id || '\"'", False),
    ("createdAt", _time("c.created_at"), False),
    ("updatedAt", _time("c.updated_at"), False),
    ("legalName", _text("c.legal_name"), False),
    ("address", "c.address::text", False),
    ("url", _text("c.url"), True),
    ("domain", _text("c.domain"), True),
    ("label", _text("c.label"), True),
    ("integrationIds", "coalesce(links.links, '[]')", False),
    ("archivedAt", _time("c.archived_at"), True),
    ("taxStatus", _text("c.tax_status"), False),
    ("customProperties", "c.custom_properties::text", False),
    ("contacts", "coalesce(contacts.contacts, '[]')", False),
    ("status", _text("c.status"), False),
    ("telephone", _text("c.telephone"), True),
    ("customerAliases", "coalesce(aliases.aliases, '[]')", False),
    ("customerAliasLabels", "aliases.labels", True),
    ("parentId", _text("owners.parent_id"), True),
    ("organizationOwnerIds", "owners.owner_ids", True),
)
_CSV: dict[str, str] = {
    "id": "c.id",
    "createdAt": f"trim('\"' FROM {_time('c.created_at')})",
    "updatedAt": f"trim('\"' FROM {_time('c.updated_at')})",
    "archivedAt": f"trim('\"' FROM {_time('c.archived_at')})",
    "legalName": "c.legal_name",
    "label": "c.label",
    "url": "c.url",
    "domain": "c.domain",
    "telephone": "c.telephone",
    **{
        f"address.{name}": f"c.address ->> '{name}'"
        for name in ("line1", "line2", "town", "state", "postcode", "country")
    },
    "taxStatus": "c.tax_status",
    "status": "c.status",
    "contacts": "contacts.contacts",
    "customerAliases": "aliases.aliases",
    "customerAliasLabels": "aliases.labels",
    "integrationIds": "links.links",
    "customProperties": "nullif(c.custom_properties, '{}')",
    "parentId": "owners.parent_id",
    "organizationOwnerIds": "owners.owner_ids",
}


async def write(
    owner: Connection,
    account_id: UUID,
    form: Format,
    output: Callable[[bytes], Awaitable[None]],
    *,
    has_archived: bool,
) -> int:
    """Give every customer as it is now, in pieces of a file; how many there were.

    What `output` raises ends the connection and is raised here.
    """
    options = {"format": "csv", "header": True} if form is Format.CSV else _RAW
    failures: list[BaseException] = []

    async def take(piece: bytes) -> None:
        try:
            await output(piece)
        except BaseException as failure:
            # The driver would cancel the statement and wait for that, for ever if it has ended by itself already.
            failures.append(failure)
            owner.terminate()
            raise

    try:
        async with owner.transaction(readonly=True):
            await owner.execute(_PLAN)
            query = _query(form, account_id, has_archived=has_archived)
            done = await owner.copy_from_query(query, output=take, **options)
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        if not failures:
            raise
        raise failures[0] from None
    return int(done.rpartition(" ")[2])


# JSON has none of these two characters, so nothing is quoted or escaped: the lines come as they are.
_RAW = {"format": "csv", "quote": "\x01", "delimiter": "\x02"}


def _query(form: Format, account_id: UUID, *, has_archived: bool) -> str:
    columns = _JSONL if form is Format.JSONL else ", ".join(f'{text} AS "{name}"' for name, text in _CSV.items())
    # COPY takes no parameters.
    source = _FROM.replace(":account", f"'{account_id}'::uuid").replace(":has_archived", str(has_archived).lower())
    return f"SELECT {columns} {source}"
