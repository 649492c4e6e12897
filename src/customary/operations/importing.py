"""Importing customers from a file: all of it is judged before anything is stored, and what is stored is never doubled.

Each batch goes in with the place in the file up to which it reaches, in one transaction. However an import ends, the
same command goes on where it ended.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import TypeVar
from uuid import UUID

import asyncpg
from msgspec import Struct

from customary.crashpoint import crashpoint
from customary.domain import transfer as rules
from customary.domain.activity import Activity, Caller, Event, EventType, Verb, differences
from customary.domain.customer import Customer
from customary.domain.transfer import Judged, Place, Row, RowProblem
from customary.domain.values import parse_id
from customary.errors import Failure, SetupError
from customary.operations.import_members import join_members
from customary.operations.recording import customer_reference, new_id, operator, operator_transaction
from customary.storage import bulk, import_names, imports
from customary.storage.database import Connection, Tx
from customary.storage.import_names import Kind, Named
from customary.storage.imports import Journal, Member

MOST_PROBLEMS = 100
# One transaction holds up those who follow the events for its length: some tenths of a second.
BATCH_ROWS = 1_000
_CHECKED_AT_ONCE = 5_000

Made = TypeVar("Made")


class Source(Struct, frozen=True):
    """A file: its digest, its rows from a place on, and whether it is still what it was."""

    digest: bytes
    read: Callable[[Place | None], Iterator[Judged]]
    is_unchanged: Callable[[], bool]


class Watch(Struct, frozen=True):
    """Who is told how far it is: of each step what it is called, and of each part of one the bytes that are read."""

    on_step: Callable[[str], None]
    on_progress: Callable[[int], None]


class Status(StrEnum):
    """How an import ended."""

    CHECKED = "CHECKED"
    IMPORTED = "IMPORTED"
    COMPLETE_ALREADY = "COMPLETE_ALREADY"
    REFUSED = "REFUSED"


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of an import. `problems` are the first of `problem_count`; it went on at the row `resumed_at`."""

    status: Status
    rows: int
    imported: int = 0
    skipped: int = 0
    resumed_at: int | None = None
    problems: tuple[RowProblem, ...] = ()
    problem_count: int = 0


class _Refused(Exception):
    """Carries what is wrong with rows out of a batch that is undone."""

    def __init__(self, problems: Sequence[RowProblem]) -> None:
        super().__init__()
        self.problems = tuple(problems)


class _Part(Struct, frozen=True):
    """Some rows of a file in the order of the file: checked, or made into customers."""

    place: Place
    rows: list[Row]
    problems: list[RowProblem]
    made: list[Customer]


class Import(Struct, frozen=True, kw_only=True):
    """One import: over a connection of the tables' owner, into an account, of a file, with who watches.

    `skips` says that a row is left out whose id is a customer's already.
    """

    owner: Connection
    account_id: UUID
    source: Source
    watch: Watch
    skips: bool = False


async def check(job: Import) -> Outcome:
    """Judge every row of the file as if it was imported; nothing is changed."""
    job.watch.on_step("Checking")
    now = await _clock(job.owner)
    judged = job.source.read(None)
    found: list[RowProblem] = []
    count, rows = 0, 0
    await import_names.begin(job.owner)
    try:
        async for part in _ahead(lambda: _judge(judged, now(), _CHECKED_AT_ONCE)):
            rows = part.place.rows
            count += len(part.problems)
            found += part.problems[: MOST_PROBLEMS - len(found)]
            await import_names.add(job.owner, [name for row in part.rows for name in _names(row)])
            job.watch.on_progress(part.place.byte)
        more, total = await import_names.problems(job.owner, job.account_id, skip=job.skips, most=MOST_PROBLEMS)
    finally:
        await import_names.end(job.owner)
    problems = sorted([*found, *more], key=lambda each: (each.line, each.column))[:MOST_PROBLEMS]
    return Outcome(
        status=Status.REFUSED if problems else Status.CHECKED,
        rows=rows,
        problems=tuple(problems),
        problem_count=count + total,
    )


async def import_customers(job: Import) -> Outcome:
    """Import what is not in yet, after a check of the whole file if nothing is.

    Raises `SetupError` where it is interrupted; the same import goes on from there.
    """
    async with imports.alone(job.owner, job.account_id, job.source.digest):
        journal = await imports.get(job.owner, job.account_id, job.source.digest)
        if journal is None:
            checked = await check(job)
            if checked.status is Status.REFUSED:
                return checked
            journal = await imports.begin(job.owner, job.account_id, job.source.digest)
        elif journal.is_finished:
            return _outcome(Status.COMPLETE_ALREADY, journal, journal)
        try:
            await _import_rows(job, journal.place)
            job.watch.on_step("Joining organisations")
            await join_members(job.owner, job.account_id, job.source.digest)
        except _Refused as refused:
            after = await imports.get(job.owner, job.account_id, job.source.digest) or journal
            return _outcome(Status.REFUSED, journal, after, refused.problems)
        after = await imports.get(job.owner, job.account_id, job.source.digest) or journal
        return _outcome(Status.IMPORTED, journal, after)


def _outcome(status: Status, before: Journal, after: Journal, problems: tuple[RowProblem, ...] = ()) -> Outcome:
    is_new = status is not Status.COMPLETE_ALREADY
    return Outcome(
        status=status,
        rows=after.place.rows,
        imported=after.place.rows - before.place.rows - (after.skipped - before.skipped) if is_new else 0,
        skipped=after.skipped - before.skipped,
        resumed_at=before.place.rows or None if is_new else None,
        problems=problems[:MOST_PROBLEMS],
        problem_count=len(problems),
    )


async def _import_rows(job: Import, start: Place) -> None:
    job.watch.on_step("Importing")
    now, caller = await _clock(job.owner), operator()
    judged = job.source.read(start)
    place = start
    async for batch in _ahead(lambda: _prepare(job.account_id, _judge(judged, now(), BATCH_ROWS), caller, now())):
        if batch.problems or not job.source.is_unchanged():
            message = "The file was changed while it was imported. Nothing of the change was taken."
            raise _Refused(batch.problems) if batch.problems else SetupError(message)
        await _store(job, batch, place)
        place = batch.place
        job.watch.on_progress(place.byte)


class _Prepared(Struct, frozen=True):
    """A batch as it is sent to the database."""

    place: Place
    rows: list[Row]
    problems: list[RowProblem]
    records: bulk.Batch
    members: list[Member]


async def _store(job: Import, batch: _Prepared, before: Place) -> None:
    """Send one batch, in one transaction with the note of it."""
    digest = job.source.digest
    try:
        async with operator_transaction(job.owner, job.account_id) as tx:
            skipped = await _existing(tx, batch.rows) if job.skips else set[UUID]()
            if not await imports.advance(tx, digest, before, batch.place, skipped=len(skipped)):
                message = "Another process goes on with this import. Wait for it, then run the same command again."
                raise SetupError(message)
            await bulk.insert(tx, batch.records.without(skipped))
            members = [each for each in batch.members if each.customer_id not in skipped]
            if members:
                await imports.remember_members(tx, digest, members)
            crashpoint("import.before_commit")
        crashpoint("import.after_commit")
    except asyncpg.UniqueViolationError:
        raise _Refused(await _collisions(job, batch.rows)) from None


async def _existing(tx: Tx, rows: list[Row]) -> set[UUID]:
    return await imports.existing(tx.connection, tx.account_id, [row.id for row in rows if row.id is not None])


async def _collisions(job: Import, rows: list[Row]) -> list[RowProblem]:
    """Which of these rows name what somebody else has taken since the file was checked."""
    await import_names.begin(job.owner)
    try:
        await import_names.add(job.owner, [name for row in rows for name in _names(row) if name[0] != Kind.OWNER])
        found, _ = await import_names.problems(job.owner, job.account_id, skip=job.skips, most=MOST_PROBLEMS)
    finally:
        await import_names.end(job.owner)
    return found or [RowProblem(rows[0].line, "", "A name in these rows was taken a moment ago. Run it again.")]


def _names(row: Row) -> Iterable[Named]:
    if row.id is not None:
        yield Kind.ID, str(row.id), row.line
    for alias in dict.fromkeys(row.write.aliases or ()):
        as_id = parse_id(alias)
        if as_id is None or as_id != row.id:
            yield Kind.ALIAS, alias, row.line
        if as_id is not None and as_id != row.id:
            yield Kind.ALIAS_LIKE_ID, str(as_id), row.line
    for contact in row.contacts:
        if contact.id is not None:
            yield Kind.CONTACT, str(contact.id), row.line
    for owner in row.owners:
        yield Kind.OWNER, owner.reference, row.line


def _judge(judged: Iterator[Judged], at: datetime, most: int) -> _Part | None:
    """The next rows of a file as customers, and what is wrong with the others; None at its end."""
    rows: list[Row] = []
    made: list[Customer] = []
    problems: list[RowProblem] = []
    place: Place | None = None
    for each in islice(judged, most):
        place = each.place
        problems += each.problems
        if each.row is None:
            continue
        try:
            made.append(rules.create(each.row, at=at, new_id=new_id))
            rows.append(each.row)
        except Failure as failure:
            found = failure.problems
            problems += [RowProblem(each.row.line, problem.key, problem.message) for problem in found]
            if not found:
                problems.append(RowProblem(each.row.line, "", failure.message))
    return None if place is None else _Part(place, rows, problems, made)


def _prepare(account_id: UUID, part: _Part | None, caller: Caller, at: datetime) -> _Prepared | None:
    if part is None:
        return None
    activities = [_activity(customer, caller, at) for customer in part.made]
    events = [Event(new_id(), EventType.CUSTOMER_CREATED, customer, at) for customer in part.made]
    members = [
        Member(customer.id, owner.reference, owner.is_parent, row.line)
        for customer, row in zip(part.made, part.rows, strict=True)
        for owner in row.owners
    ]
    return _Prepared(
        part.place, part.rows, part.problems, bulk.batch(account_id, part.made, activities, events), members
    )


def _activity(customer: Customer, caller: Caller, at: datetime) -> Activity:
    return Activity(
        id=new_id(),
        created_at=at,
        caller=caller,
        verb=Verb.CREATED,
        object=customer_reference(customer.id),
        changes=differences(None, customer),
    )


async def _ahead(produce: Callable[[], Made | None]) -> AsyncGenerator[Made]:
    """What `produce` makes until it is None, each made in a thread while the one before is in use."""
    waiting = asyncio.create_task(asyncio.to_thread(produce))
    try:
        while (made := await waiting) is not None:
            waiting = asyncio.create_task(asyncio.to_thread(produce))
            yield made
    finally:
        waiting.cancel()


async def _clock(owner: Connection) -> Callable[[], datetime]:
    """The database's time, without asking for it again: rows are made while the connection is busy."""
    asked_at = time.monotonic()
    start: datetime = await owner.fetchval("SELECT clock_timestamp()")
    return lambda: start + timedelta(seconds=time.monotonic() - asked_at)
