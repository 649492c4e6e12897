"""The pool, and the tenant that every use of a connection is bound to.

There is no way to a row without saying whose rows are wanted. A connection remembers whose setting it holds and sets it
again only when that changes. Single reads run on it as they are, `Bound`; writes run in a transaction, a `Tx`.

A connection that is in doubt is dropped, never given back: see `_Use`.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from operator import itemgetter
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import UUID

from msgspec import Struct

from customary.domain.activity import Caller, Event
from customary.errors import Unavailable
from customary.gathering import Gathering
from customary.storage.alarms import raise_alarm
from customary.storage.connections import (
    REQUESTS,
    Connection,
    Connector,
    Limits,
    Record,
    TenantConnection,
)
from customary.storage.failures import OF_DATABASE, Meaning, failure_of, meaning_of
from customary.storage.pool import Pool
from customary.storage.pool_metrics import PoolMetrics
from customary.storage.secret_keys import NO_KEYS, KeyRing
from customary.storage.statements import Additions, NotAdded, Statements
from customary.timeouts import Timeout

__all__ = ["Beginning", "Bound", "Connection", "Database", "Reading", "Record", "Tx"]

ACQUIRE_TIMEOUT_SECONDS = 1.0
_OVER = frozenset({Meaning.LOST, Meaning.GONE})
_TO_BE_EXPLAINED = frozenset({Meaning.AGAIN, Meaning.REFUSED})

BEGIN = "SELECT now()"
BEGIN_WORK = "SELECT set_config('app.work', 'on', true), set_config('app.account', '', true)"


class Beginning(Struct, frozen=True):
    """The first statement of a transaction, with its parameters: it answers one row, which has the time as `now`.

    Whatever somebody needs to know before anything else is asked along with it.
    """

    text: str = BEGIN
    parameters: tuple[object, ...] = ()


BEGINNING = Beginning()


class Bound(Struct, frozen=True):
    """A connection that sees one account's rows, outside any transaction: for reads of one statement.

    `keys` are those that stored secrets can be read with.
    """

    account_id: UUID
    connection: Connection
    keys: KeyRing = NO_KEYS


class Tx(Struct, frozen=True):
    """An open transaction of one account. `now` is the database's time at its start, `first` its first row.

    `events` collects the events that it appends, so that a dry run can tell which would follow. `keys` are those that
    secrets are stored and read with.
    """

    account_id: UUID
    connection: Statements | Additions
    now: datetime
    caller: Caller
    events: list[Event]
    keys: KeyRing = NO_KEYS
    first: Record = None


Reading: TypeAlias = Bound | Tx


class _Use:
    """One use of a connection, from the pool and back, for a bounded time. Whoever is broken off leaves none in doubt.

    `commit` is there from the moment that one is asked for. `generation` is the connection's when it was taken.
    A class, because every read goes through it and a generator would cost more than what is done here.
    """

    connection: TenantConnection
    generation: int

    def __init__(self, database: "Database", account_id: UUID | None, seconds: float) -> None:
        self._database, self._account_id = database, account_id
        self._seconds = seconds
        self._timeout = Timeout(min(ACQUIRE_TIMEOUT_SECONDS, seconds))
        self.commit: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._timeout.__enter__()
        try:
            self.connection = await self._database.take(self._account_id)
        except BaseException as error:
            self._end(error)
            raise
        self._timeout.extend(self._seconds)
        self.generation = self.connection.generation
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._timeout.ends(kind)
            self._database.give_back(self)
        else:
            self._database.part_with(self, error)
            self._end(error)

    async def committed(self, commit: Coroutine[Any, Any, None]) -> None:
        """Wait for this commit, which goes on where nobody waits for it any more. Raises what it raises."""
        self.commit = asyncio.create_task(commit)
        self.commit.add_done_callback(_seen)
        await asyncio.shield(self.commit)

    @property
    def is_unconfirmed(self) -> bool:
        """Whether a commit was asked for and not answered yet."""
        return self.commit is not None and not self.commit.done()

    def _end(self, error: BaseException) -> None:
        """Raise the failure that this error stands for; return where it is to be passed on."""
        cause = TimeoutError() if self._timeout.ends(type(error)) else error
        if not isinstance(cause, OF_DATABASE):
            return
        raise_alarm(cause)
        failure = failure_of(cause, is_committing=self.commit is not None)
        if failure is not None:
            raise failure from error
        if cause is not error:
            raise cause from error


class _Reading:
    """One use of a connection for reads of an account, which gives what they are done with.

    A class for the same reason.
    """

    def __init__(self, use: _Use, account_id: UUID, keys: KeyRing) -> None:
        self._use, self._account_id, self._keys = use, account_id, keys
        self._session: AbstractAsyncContextManager[None] | None = None

    async def __aenter__(self) -> Bound:
        connection = (await self._use.__aenter__()).connection
        try:
            if connection.process is not None:
                self._session = _in_one_session(connection)
                await self._session.__aenter__()
            if connection.bound_to != self._account_id or self._session is not None:
                await connection.bind(self._account_id)
        except BaseException as error:
            await self._use.__aexit__(type(error), error, error.__traceback__)
            raise
        return Bound(self._account_id, connection, self._keys)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            try:
                await self._session.__aexit__(kind, error, trace)
            except BaseException as failure:
                await self._use.__aexit__(type(failure), failure, failure.__traceback__)
                raise
        await self._use.__aexit__(kind, error, trace)


class Database:
    """The connections of one process to one database, all of them in the service's role."""

    def __init__(self, pool: Pool, connector: Connector, cursor_secret: bytes, keys: KeyRing) -> None:
        self._pool, self._connector = pool, connector
        self.keys = keys
        self.cursor_secret = cursor_secret
        self._unconfirmed: set[asyncio.Task[None]] = set()
        self._questions = Gathering(self._asked, most_under_way=2)  # one may be on a connection whose other end is gone
        self._most_unconfirmed = max(1, pool.size // 2)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        pool_size: int,
        keys: KeyRing = NO_KEYS,
        limits: Limits = REQUESTS,
        metrics: PoolMetrics | None = None,
    ) -> "Database":
        """Connect. Raises `OSError` or what the driver raises where that fails.

        Without keys everything works but storing secrets and reading them.
        """
        metrics = metrics or PoolMetrics()
        connector = Connector(url, limits, metrics)
        pool = Pool(connector, pool_size, metrics)
        try:
            with Timeout(limits.use_seconds):
                connection = await pool.take(None)
                secret = await connection.fetchval("SELECT cursor_secret FROM installation")
        except BaseException:
            pool.end()
            raise
        pool.give_back(connection)
        return cls(pool, connector, secret, keys)

    def close(self) -> None:
        """End all connections, the busy ones too."""
        self._pool.end()

    def forget_connections(self) -> None:
        """Open a new connection for whatever comes next: those that are there were opened to the wrong server."""
        self._connector.generation += 1
        self._pool.end_free()

    def reading(self, account_id: UUID) -> "_Reading":
        """A connection for reads of this account. Raises `Unavailable` while the database cannot answer."""
        return _Reading(self._use(account_id), account_id, self.keys)

    @asynccontextmanager
    async def transaction(
        self, account_id: UUID, caller: Caller, *, beginning: Beginning | None = None
    ) -> AsyncGenerator[Tx]:
        """A transaction of this account: committed at the end of the block, undone when an exception leaves it.

        Raises `Conflict` where a constraint of the database refuses the write, `Contended` where another transaction
        was in the way and `Unavailable` while the database cannot answer.
        """
        async with self._transaction(account_id) as connection:
            beginning = beginning or BEGINNING
            first = await connection.fetchrow(beginning.text, *beginning.parameters)
            statements = Statements(connection)
            yield Tx(account_id, statements, first["now"], caller, [], self.keys, first)
            await statements.flush()

    @asynccontextmanager
    async def adding(self, account_id: UUID, caller: Caller, first: Record) -> AsyncGenerator[Tx]:
        """A change of this account that only adds: one statement at the end of the block, which commits itself.

        `first` was asked before, of this database, and has the time as `now`. Raises `NotAdded` where one statement
        cannot be all, with nothing changed; otherwise what `transaction` raises.
        """
        self._require_confirmations()
        additions = Additions()
        yield Tx(account_id, additions, first["now"], caller, [], self.keys, first)
        if additions.is_empty:
            return
        async with self._use(account_id) as use:
            if use.connection.process is not None:
                raise NotAdded
            await use.connection.bind(account_id)
            try:
                await use.committed(additions.send(use.connection))
            except OF_DATABASE as error:
                if meaning_of(error) not in _TO_BE_EXPLAINED:
                    raise
                raise NotAdded(is_of_database=True) from error

    async def ask_together(self, account_id: UUID, text: str, value: object) -> Record:
        """The row that a statement answers for this value, asked together with what others of the account ask for.

        Its parameters are the account and an array of values; its rows have the value's `number`, from one on. It is
        sent after the call. Raises `NotAdded` behind a pooler, which answers nothing outside a transaction; otherwise
        what `reading` raises.
        """
        return await self._questions.ask((account_id, text), value)

    async def _asked(self, question: tuple[UUID, str], values: Sequence[object]) -> list[Record]:
        account_id, text = question
        async with self._use(account_id) as use:
            if use.connection.process is not None:
                raise NotAdded
            await use.connection.bind(account_id)
            return sorted(await use.connection.fetch(text, account_id, values), key=itemgetter("number"))

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[Connection]:
        """A transaction that looks for work of all accounts: it sees the queue, which holds ids, and nothing else."""
        async with self._transaction() as connection:
            await connection.execute(BEGIN_WORK)
            yield connection

    @asynccontextmanager
    async def without_tenant(self) -> AsyncGenerator[Connection]:
        """A connection for the look-ups that come before a tenant is known; policies hide every tenant's rows."""
        async with self._use(None) as use, _in_one_session(use.connection):
            await use.connection.bind(None)
            yield use.connection

    @asynccontextmanager
    async def _transaction(self, account_id: UUID | None = None) -> AsyncGenerator[Connection]:
        """A connection in a transaction.

        A commit is never broken off. Where it waits for a standby, PostgreSQL would take a cancel request for leave
        to call it done. So whoever cannot wait longer is told that nobody knows, and the commit goes on without them;
        and where half of the connections wait like that, nothing more is begun, so that others can still read.
        """
        self._require_confirmations()
        async with self._use(account_id) as use:
            connection = use.connection
            if account_id is not None and connection.process is None:
                await connection.bind(account_id)  # before it begins: undoing it would undo that too
            async with _undone_by_failure(connection) as transaction:
                await connection.require_session()
                if account_id is not None:
                    await connection.bind(account_id)
                yield connection
            await use.committed(transaction.commit())

    def _require_confirmations(self) -> None:
        """Raise `Unavailable` where half of the connections wait for the end of a commit."""
        if len(self._unconfirmed) >= self._most_unconfirmed:
            raise Unavailable("The database confirms no changes at the moment; nothing was begun. Try again soon.")

    def _use(self, account_id: UUID | None) -> _Use:
        return _Use(self, account_id, self._connector.limits.use_seconds)

    async def take(self, account_id: UUID | None) -> TenantConnection:
        """A connection of the pool. Raises what opening one raises."""
        return await self._pool.take(account_id)

    def give_back(self, use: _Use) -> None:
        """For the next one, unless it was opened to a server that is the wrong one by now."""
        if use.generation == self._connector.generation:
            self._pool.give_back(use.connection)
        else:
            self._pool.drop(use.connection)

    def part_with(self, use: _Use, error: BaseException) -> None:
        """Keep a connection on which something failed only if its state is known all the same."""
        meaning = meaning_of(error)
        if isinstance(error, Exception) and meaning not in _OVER:
            self.give_back(use)
        elif use.is_unconfirmed and len(self._unconfirmed) < self._most_unconfirmed:
            waiting = asyncio.create_task(self._outlast(use))
            self._unconfirmed.add(waiting)
            waiting.add_done_callback(self._unconfirmed.discard)
        else:
            self._pool.drop(use.connection)
            if meaning is Meaning.GONE and use.generation == self._connector.generation:
                self.forget_connections()

    async def _outlast(self, use: _Use) -> None:
        """Keep a connection out of the pool until its commit is answered, or nobody is there who could answer."""
        if use.commit is not None:
            await asyncio.wait({use.commit})
        self._pool.drop(use.connection)


@asynccontextmanager
async def _undone_by_failure(connection: Connection) -> AsyncGenerator[Any]:
    """A transaction, or one in another, that an exception undoes; it is not committed here.

    Nothing is said to a connection that is over, nor to one that somebody stopped waiting for: it will be dropped.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield transaction
    except Exception as error:
        if meaning_of(error) not in _OVER:
            await transaction.rollback()
        raise


@asynccontextmanager
async def _in_one_session(connection: Connection) -> AsyncGenerator[None]:
    """Keep a pooler from answering out of several sessions, by a transaction; nothing to do where there is none."""
    if connection.process is None:
        yield
        return
    async with _undone_by_failure(connection) as transaction:
        await connection.require_session()
        yield
    await transaction.commit()


def _seen(commit: "asyncio.Task[None]") -> None:
    """Take note of how a commit ended which nobody waits for any more."""
    if not commit.cancelled():
        commit.exception()
