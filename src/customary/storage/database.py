"""The pool, the tenant that every connection is bound to, and what a failure of the database means.

There is no way to a row without saying whose rows are wanted. Writes run in a `Tx`, a transaction with the tenant set
for its length. Single reads run `Bound`: the connection remembers whose setting it holds and sets it again only when
that changes, which saves three of a read's four round trips.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from msgspec import Struct

from customary.domain.activity import Caller, Event
from customary.errors import Conflict, Contended, Failure, Unavailable
from customary.storage.schema import SEARCH_PATH, SERVICE_ROLE
from customary.storage.secret_keys import NO_KEYS, KeyRing

ACQUIRE_TIMEOUT_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 3.0
COMMAND_TIMEOUT_SECONDS = 8.0
LOCK_TIMEOUT_SECONDS = 2.0

BEGIN = "SELECT now(), set_config('app.account', $1, true), set_config('lock_timeout', $2, true)"
BEGIN_WORK = "SELECT set_config('app.work', 'on', true), set_config('app.account', '', true)"

Record: TypeAlias = Any  # asyncpg's Record: a column of it has the type that the SQL gives it, which no checker sees
Connection: TypeAlias = Any  # asyncpg's Connection or the pool's proxy of one, which have the same methods

# `role` makes every connection the service's role at once, whatever role the URL logs in as: the policies bind it.
_SERVER_SETTINGS = {
    "role": SERVICE_ROLE,
    "search_path": SEARCH_PATH,
    "application_name": "customary",
    "timezone": "UTC",
    "jit": "off",
    "statement_timeout": "6s",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS:.0f}s",
    "idle_in_transaction_session_timeout": "10s",
}

# The one place where the name of a constraint becomes something that a person can act on.
_CONSTRAINTS = {
    "customer_aliases_value_key": "An alias of this request was taken by another customer a moment ago.",
    "contacts_email_key": "Another contact of this customer has the same e-mail address.",
    "organizations_owner_id_key": "This customer got an organisation a moment ago. Try again.",
    "payment_settings_customer_id_key": "This customer got payment settings a moment ago.",
    "accounts_name_key": "An account with this name exists already.",
}

# Undone as a whole and worth running again at once.
_CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.InvalidCachedStatementError)

_PASSING = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the end of a server can meet the driver between two statements
    OSError,
    TimeoutError,
)


class Bound(Struct, frozen=True):
    """A connection that sees one account's rows, outside any transaction: for reads of one statement.

    `keys` are those that stored secrets can be read with.
    """

    account_id: UUID
    connection: Connection
    keys: KeyRing = NO_KEYS


class Tx(Struct, frozen=True):
    """An open transaction of one account. `now` is the database's time at its start.

    `events` collects the events that it appends, so that a dry run can tell which would follow. `keys` are those that
    secrets are stored and read with.
    """

    account_id: UUID
    connection: Connection
    now: datetime
    caller: Caller
    events: list[Event]
    keys: KeyRing = NO_KEYS


Reading: TypeAlias = Bound | Tx


# No account's id, so a connection in this state is bound anew whoever wants it.
_UNCERTAIN = UUID(int=0)


class _TenantConnection(asyncpg.Connection):
    """A connection that remembers whose tenant setting it holds."""

    bound_to: UUID | None = None

    def get_reset_query(self) -> str:
        """Nothing to reset: the tenant is set before each use, and a reset would cost a fifth of a read."""
        return ""

    async def bind(self, account_id: UUID | None) -> None:
        """Let this connection see this account's rows and no others; nobody's for None."""
        if self.bound_to == account_id:
            return
        self.bound_to = _UNCERTAIN  # until the answer is here: a broken off change may have been made or not
        await self.fetchval("SELECT set_config('app.account', $1, false)", str(account_id or ""))
        self.bound_to = account_id


class Database:
    """The connections of one process to one database, all of them in the service's role."""

    def __init__(self, pool: Any, cursor_secret: bytes, keys: KeyRing) -> None:  # noqa: ANN401 - asyncpg's pool
        self._pool = pool
        self.keys = keys
        self.cursor_secret = cursor_secret

    @classmethod
    async def open(cls, url: str, *, pool_size: int, keys: KeyRing = NO_KEYS) -> "Database":
        """Connect. Raises `OSError` or `asyncpg.PostgresError` where that fails.

        Without keys everything works but storing secrets and reading them.
        """
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            connection_class=_TenantConnection,
            server_settings=_SERVER_SETTINGS,
        )
        secret = await pool.fetchval("SELECT cursor_secret FROM installation")
        return cls(pool, secret, keys)

    async def close(self) -> None:
        """End all connections, the busy ones too."""
        self._pool.terminate()

    @asynccontextmanager
    async def reading(self, account_id: UUID) -> AsyncGenerator[Bound]:
        """A connection for reads of this account. Raises `Unavailable` while the database cannot answer."""
        async with self._connection() as connection:
            await connection.bind(account_id)
            yield Bound(account_id, connection, self.keys)

    @asynccontextmanager
    async def transaction(
        self, account_id: UUID, caller: Caller, *, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS
    ) -> AsyncGenerator[Tx]:
        """A transaction of this account: committed at the end of the block, undone when an exception leaves it.

        Raises `Conflict` where a constraint of the database refuses the write, `Contended` where another transaction
        was in the way and `Unavailable` while the database cannot answer.
        """
        async with self._connection() as connection, connection.transaction(), _unanswered(connection):
            now = await connection.fetchval(BEGIN, str(account_id), f"{lock_timeout_seconds * 1000:.0f}")
            yield Tx(account_id, connection, now, caller, [], self.keys)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[Connection]:
        """A transaction that looks for work of all accounts: it sees the queue, which holds ids, and nothing else."""
        async with self._connection() as connection, connection.transaction(), _unanswered(connection):
            await connection.execute(BEGIN_WORK)
            yield connection

    @asynccontextmanager
    async def without_tenant(self) -> AsyncGenerator[Connection]:
        """A connection for the look-ups that come before a tenant is known; policies hide every tenant's rows."""
        async with self._connection() as connection:
            await connection.bind(None)
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        try:
            async with (
                self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection,
                _unanswered(connection),
            ):
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error


@asynccontextmanager
async def _unanswered(connection: Connection) -> AsyncGenerator[None]:
    """Drop a connection on which nobody answers any more: a polite end would wait as long again."""
    try:
        yield
    except TimeoutError:
        connection.terminate()
        raise


def failure_of(error: Exception) -> Failure | None:
    """What a failure of the database means to a caller; None for one that only a defect of ours explains."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        message = _CONSTRAINTS.get(str(error.constraint_name))
        return None if message is None else Conflict(message)
    if isinstance(error, _CONTENDED):
        return Contended("Another request was changing the same things. Try again in a moment.")
    if isinstance(error, _PASSING):
        return Unavailable("The database cannot answer right now. Try again in a moment.")
    return None
