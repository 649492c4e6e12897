"""The events of an account one after another, for whoever reads them at their own pace and must miss none.

Events have the order of the transactions that appended them, and transactions are committed in another one. So a reader
is given only what stands before the oldest transaction that still runs: whatever commits from then on belongs behind
it, because an event's `transaction_id` is at least that of its own transaction. A transaction that runs long, of
anybody in the same PostgreSQL server, therefore makes readers wait, and never makes them miss anything.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from customary.domain.activity import Event, EventType
from customary.domain.customer import Customer
from customary.errors import Invalid, Problem
from customary.storage.database import Connection, Reading, Record

# How many events one page goes through to find those that it wants. Where it finds fewer than wanted it says how far
# it came, so that a reader of rare ones gets on.
MOST_EXAMINED = 1000
# Longer than a transaction of ours can take from its start, whose time its events have, to its end.
LONGEST_TRANSACTION = timedelta(minutes=5)

PLACE = "SELECT transaction_id, version, id FROM events WHERE account_id = $1 AND id = $2"
# What began later than this span was given a higher number than the first one in it. The rows are collected before
# they are sorted, or the index of the order would be searched from its beginning.
PLACE_AT = """
WITH first AS MATERIALIZED (
    SELECT created_at FROM events WHERE account_id = $1 AND created_at >= $2 ORDER BY created_at LIMIT 1
), span AS MATERIALIZED (
    SELECT transaction_id FROM events
     WHERE account_id = $1 AND created_at >= (SELECT created_at FROM first)
       AND created_at <= (SELECT created_at FROM first) + $3::interval
)
SELECT transaction_id FROM span ORDER BY transaction_id LIMIT 1
"""
PLACE_NOW = "SELECT oldest_transaction()"
EXAMINE = """
SELECT transaction_id, version, id, type, created_at FROM events
 WHERE account_id = $1 AND transaction_id < oldest_transaction()
   AND (transaction_id, version, id) > ($2, $3, $4)
 ORDER BY transaction_id, version, id LIMIT $5
"""
# A customer's versions have the order of its events.
EXAMINE_CUSTOMER = """
SELECT transaction_id, version, id, type, created_at FROM events
 WHERE account_id = $1 AND transaction_id < oldest_transaction()
   AND (transaction_id, version, id) > ($2, $3, $4) AND customer_id = $6
 ORDER BY version LIMIT $5
"""
# The view puts together what the events of a change share: only for those that are given out.
FETCH = """
SELECT id, type, customer, created_at FROM complete_events WHERE account_id = $1 AND id = ANY ($2::uuid[])
"""
# Where all readers stop for now, and whether something that began later is over already, so that they wait for it.
HORIZON = """
SELECT oldest_transaction()::text::bigint AS oldest, pg_snapshot_xmin(s) < pg_snapshot_xmax(s) AS is_held
  FROM pg_current_snapshot() s
"""
# For an operator, of all accounts: the first event of each that cannot be read yet.
WAITING = """
SELECT extract(epoch FROM now() - e.created_at)::float8 AS seconds,
       is_restored() AS is_foreign
  FROM accounts a CROSS JOIN LATERAL (
       SELECT created_at, transaction_id FROM events
        WHERE account_id = a.id AND transaction_id >= oldest_transaction()
        ORDER BY transaction_id, version, id LIMIT 1) e
"""

_read_customer = msgspec.json.Decoder(Customer).decode


class Place(Struct, frozen=True):
    """Where a reader is: behind this event. Without an id, in front of all events of this transaction."""

    transaction_id: int = 0
    version: int = 0
    id: UUID | None = None


BEGINNING = Place()


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events a reader wants: of these types, of one customer, and no older ones; None for all."""

    types: frozenset[EventType] | None = None
    customer_id: UUID | None = None
    since: datetime | None = None


class Horizon(Struct, frozen=True):
    """The transaction at which all readers stop; `is_held` where later ones are over, whose events they wait for."""

    oldest: int
    is_held: bool


class Feed(Struct, frozen=True):
    """Some events in their order, and where to go on. `has_more` where there is something behind that already."""

    events: tuple[Event, ...]
    end: Place
    has_more: bool


async def place_of(reading: Reading, event_id: UUID | None) -> Place:
    """Behind this event. Raises `Invalid` for one that is none of this account's, a malformed id (None) included."""
    row = None
    if event_id is not None:
        row = await reading.connection.fetchrow(PLACE, reading.account_id, event_id)
    if row is None:
        message = (
            "There is no event with this id in this account. Start again: without 'after' for all events, or with"
            " 'since' for those from a time on."
        )
        raise Invalid(message, (Problem("after", "unknownEvent", message),))
    return _place(row)


async def place_at(reading: Reading, since: datetime) -> Place | None:
    """In front of everything that happened at this time or later; None where nothing has yet."""
    transaction_id = await reading.connection.fetchval(PLACE_AT, reading.account_id, since, LONGEST_TRANSACTION)
    return None if transaction_id is None else Place(transaction_id)


async def place_now(reading: Reading) -> Place:
    """In front of everything that is committed from now on.

    What was committed just before can be behind it as well, where something that began earlier still runs.
    """
    return Place(await reading.connection.fetchval(PLACE_NOW))


class Waiting(Struct, frozen=True):
    """For how long the oldest event cannot be read yet, and whether one never will be.

    `has_foreign` says that events have numbers which no transaction of this server was given: the tables were copied
    from another one, by a dump.
    """

    seconds: float = 0.0
    has_foreign: bool = False


async def waiting(owner: Connection) -> Waiting:
    """What readers of any account wait for. It takes a connection that sees the rows of all."""
    rows = await owner.fetch(WAITING)
    return Waiting(max((row["seconds"] for row in rows), default=0.0), any(row["is_foreign"] for row in rows))


async def horizon(connection: Connection) -> Horizon:
    """Where the readers of all accounts stop now. It says nothing of any account, and any connection may ask."""
    row = await connection.fetchrow(HORIZON)
    return Horizon(row["oldest"], row["is_held"])


async def read(reading: Reading, start: Place, wanted: Wanted, *, limit: int) -> Feed:
    """The next events from this place on. Fewer than `limit` do not mean that these are all: `has_more` does."""
    is_picky = wanted.types is not None or wanted.since is not None
    most = MOST_EXAMINED if is_picky else limit
    rows = await _examine(reading, start, wanted, most=most + 1)
    examined, chosen = _chosen(rows[:most], wanted, limit)
    events = await _fetch(reading, [row["id"] for row in chosen])
    end = _place(examined[-1]) if examined else start
    return Feed(events, end, has_more=len(rows) > len(examined))


async def _examine(reading: Reading, start: Place, wanted: Wanted, *, most: int) -> list[Record]:
    place = (start.transaction_id, start.version, start.id or UUID(int=0))
    if wanted.customer_id is None:
        return list(await reading.connection.fetch(EXAMINE, reading.account_id, *place, most))
    return list(await reading.connection.fetch(EXAMINE_CUSTOMER, reading.account_id, *place, most, wanted.customer_id))


def _chosen(rows: list[Record], wanted: Wanted, limit: int) -> tuple[list[Record], list[Record]]:
    """How far these rows are needed to find so many that are wanted, and those that are."""
    chosen: list[Record] = []
    for position, row in enumerate(rows):
        if _is_wanted(row, wanted):
            chosen.append(row)
            if len(chosen) == limit:
                return rows[: position + 1], chosen
    return rows, chosen


def _is_wanted(row: Record, wanted: Wanted) -> bool:
    is_type = wanted.types is None or row["type"] in wanted.types
    return is_type and (wanted.since is None or row["created_at"] >= wanted.since)


async def _fetch(reading: Reading, ids: list[UUID]) -> tuple[Event, ...]:
    """These events, whole, in this order."""
    if not ids:
        return ()
    rows = await reading.connection.fetch(FETCH, reading.account_id, ids)
    events = {row["id"]: _event(row) for row in rows}
    return tuple(events[event_id] for event_id in ids)


def _event(row: Record) -> Event:
    return Event(row["id"], EventType(row["type"]), _read_customer(row["customer"]), row["created_at"])


def _place(row: Record) -> Place:
    return Place(row["transaction_id"], row["version"], row["id"])
