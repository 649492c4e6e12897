"""The activity log: what happened, to what, by whom. Rows are added and read, never changed."""

from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from customary.domain.activity import Activity, ActorType, Caller, FieldChange, ObjectType, Reference, Verb
from customary.domain.page import Page, Window
from customary.errors import NotFound
from customary.storage import keyset
from customary.storage.database import Reading, Record, Tx

_COLUMNS = """
    a.id, a.created_at, a.verb, a.object_type, a.object_id, a.target_type, a.target_id, a.actor_type, a.actor_id,
    a.actor_email, a.origin, a.api_version, a.trace_id, a.changes
"""
COLUMN_NAMES = (
    *("account_id", "id", "created_at", "verb", "object_type", "object_id", "object_reference", "target_type"),
    *("target_id", "actor_type", "actor_id", "actor_email", "origin", "api_version", "trace_id", "changes"),
)
APPEND = f"""
INSERT INTO activity_logs ({", ".join(COLUMN_NAMES)})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""  # noqa: S608 - constants
GET = f"SELECT {_COLUMNS} FROM activity_logs a WHERE a.account_id = $1 AND a.id = $2"  # noqa: S608 - constants

_read_changes = msgspec.json.Decoder(tuple[FieldChange, ...]).decode


def reference_id(kind: ObjectType | ActorType, thing_id: UUID) -> UUID:
    """The id that the API gives to a thing as far as activities are concerned: always the same for the same thing."""
    return uuid5(NAMESPACE_OID, f"{kind}:{thing_id}")


def append(tx: Tx, activity: Activity) -> None:
    """Store what happened."""
    tx.connection.later(APPEND, *values(tx.account_id, activity))


def values(account_id: UUID, activity: Activity) -> tuple[object, ...]:
    """The row of an activity, in the order of `COLUMN_NAMES`."""
    caller, target = activity.caller, activity.target
    return (
        account_id,
        activity.id,
        activity.created_at,
        activity.verb.value,
        activity.object.type.value,
        activity.object.id,
        reference_id(activity.object.type, activity.object.id),
        target.type.value if target else None,
        target.id if target else None,
        caller.actor_type.value,
        caller.actor_id,
        caller.email,
        caller.origin,
        caller.api_version,
        caller.request_id,
        msgspec.json.encode(activity.changes).decode(),
    )


async def get(reading: Reading, activity_id: UUID | None) -> Activity:
    """The entry with this id. Raises `NotFound`."""
    row = None
    if activity_id is not None:
        row = await reading.connection.fetchrow(GET, reading.account_id, activity_id)
    if row is None:
        message = "There is no activity log with this id."
        raise NotFound(message)
    return _from_row(row)


async def fetch(
    reading: Reading, window: Window, *, object_reference: UUID | None, object_id: UUID | None
) -> Page[Activity]:
    """One page of the log, of one thing only where its reference or its own id is given."""
    conditions, parameters = ["a.account_id = $1"], [reading.account_id]
    for column, value in (("object_reference", object_reference), ("object_id", object_id)):
        if value is not None:
            parameters.append(value)
            conditions.append(f"a.{column} = ${len(parameters)}")
    listing = keyset.Listing(
        columns=_COLUMNS,
        source=f"FROM activity_logs a WHERE {' AND '.join(conditions)}",
        parameters=tuple(parameters),
        sort=keyset.Sort("a.created_at", "timestamptz", is_nullable=False),
        id="a.id",
        from_row=_from_row,
    )
    return await keyset.fetch(reading, listing, window)


def _from_row(row: Record) -> Activity:
    return Activity(
        id=row["id"],
        created_at=row["created_at"],
        caller=Caller(
            actor_type=ActorType(row["actor_type"]),
            actor_id=row["actor_id"],
            email=row["actor_email"],
            origin=row["origin"],
            api_version=row["api_version"],
            request_id=row["trace_id"],
        ),
        verb=Verb(row["verb"]),
        object=Reference(ObjectType(row["object_type"]), row["object_id"]),
        target=Reference(ObjectType(row["target_type"]), row["target_id"]) if row["target_id"] else None,
        changes=_read_changes(row["changes"]),
    )
