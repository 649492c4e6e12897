"""Writes down what an operation did, in its transaction: the activity, and the event if a customer changed."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from msgspec import Struct

from customary.domain.activity import (
    Activity,
    ActorType,
    Caller,
    Event,
    EventType,
    ObjectType,
    Reference,
    Verb,
    differences,
)
from customary.domain.customer import Customer
from customary.storage import activity_logs, outbox
from customary.storage.database import Connection, Tx
from customary.storage.statements import Statements
from customary.uuid7 import uuid7

# Version 7 ids grow with time, also within a millisecond: what is made together keeps its order.
new_id: Callable[[], UUID] = uuid7
# Whoever has the command line has the database: there is no telling one operator from another.
_OPERATOR = UUID(int=0)


def operator() -> Caller:
    """Somebody on the command line, for one command."""
    return Caller(ActorType.OPERATOR, _OPERATOR, origin="CLI", api_version="", request_id=str(new_id()))


@asynccontextmanager
async def operator_transaction(owner: Connection, account_id: UUID) -> AsyncGenerator[Tx]:
    """A transaction for somebody on the command line, over a connection of the tables' owner."""
    async with owner.transaction():
        statements = Statements(owner)
        yield Tx(account_id, statements, await owner.fetchval("SELECT now()"), operator(), [])
        await statements.flush()


async def record(
    tx: Tx,
    verb: Verb,
    thing: Reference,
    *,
    before: Struct | None,
    after: Struct | None,
    target: Reference | None = None,
    hidden: frozenset[str] = frozenset(),
) -> None:
    """Write down one change with the fields that differ; those named in `hidden` are secrets and left out."""
    changes = differences(before, after)
    if hidden:
        changes = tuple(change for change in changes if change.field not in hidden)
    activity = Activity(
        id=new_id(), created_at=tx.now, caller=tx.caller, verb=verb, object=thing, target=target, changes=changes
    )
    activity_logs.append(tx, activity)


async def record_customer(tx: Tx, verb: Verb, before: Customer | None, after: Customer) -> None:
    """Write down a change of a customer, and tell the world."""
    await record(tx, verb, customer_reference(after.id), before=before, after=after)
    await announce(tx, _EVENTS[verb], after)


async def record_part(
    tx: Tx, verb: Verb, part: Reference, *, before: Struct | None, after: Struct | None, customer: Customer
) -> None:
    """Write down a change of something of a customer, which is `customer` afterwards, with a new version."""
    await record(tx, verb, part, before=before, after=after, target=customer_reference(customer.id))
    await announce(tx, EventType.CUSTOMER_UPDATED, customer)


async def announce(tx: Tx, event_type: EventType, customer: Customer) -> None:
    """Tell the world of a change of this customer, which must have a version of its own."""
    await outbox.append(tx, Event(new_id(), event_type, customer, tx.now))


def customer_reference(customer_id: UUID) -> Reference:
    """A customer, as an activity names it."""
    return Reference(ObjectType.CUSTOMER, customer_id)


_EVENTS = {
    Verb.CREATED: EventType.CUSTOMER_CREATED,
    Verb.UPDATED: EventType.CUSTOMER_UPDATED,
    Verb.UNARCHIVED: EventType.CUSTOMER_UPDATED,
    Verb.ARCHIVED: EventType.CUSTOMER_ARCHIVED,
}
