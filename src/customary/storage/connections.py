"""How a connection of the pool is made: with which limits, and what it remembers."""

import asyncio
import socket
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from msgspec import Struct

from customary.storage import servers, sessions
from customary.storage.pool_metrics import PoolMetrics
from customary.storage.schema import SEARCH_PATH, SERVICE_ROLE

Record: TypeAlias = Any  # asyncpg's Record: a column of it has the type that the SQL gives it, which no checker sees
Connection: TypeAlias = Any  # asyncpg's Connection or the pool's proxy of one, which have the same methods

LOCK_TIMEOUT_SECONDS = 2.0
_CONNECT_TIMEOUT_SECONDS = 3.0
_IDLE_IN_TRANSACTION_SECONDS = 10.0
_KNOWS_TRANSACTION_TIMEOUT = 17


class Limits(Struct, frozen=True):
    """How long one statement, one transaction and one use of a connection may take, in seconds.

    The server ends the first two, we the last, so that it also ends when the server is silent. Nor may a table be read
    whole where there is an index, unless it `may_read_whole_tables`.
    """

    statement_seconds: float
    transaction_seconds: float
    use_seconds: float
    may_read_whole_tables: bool = True


REQUESTS = Limits(statement_seconds=6, transaction_seconds=7, use_seconds=7)
# A queue that was empty when PostgreSQL last looked at it, and when a statement was planned, seems small enough to be
# read whole for each delivery, which takes twice the time where there are 16,000 of them.
WORK = Limits(statement_seconds=60, transaction_seconds=65, use_seconds=70, may_read_whole_tables=False)

# Who went away is noticed within seconds, while a statement runs and while none does, and what they held is free again.
# And a commit is on the disk when it is answered, whatever is the default of the role or the database.
_SETTINGS = """
SET client_connection_check_interval = '1s';
SET tcp_user_timeout = '10s';
SET tcp_keepalives_idle = '10s';
SET tcp_keepalives_interval = '5s';
SET tcp_keepalives_count = 3;
SELECT set_config('synchronous_commit', 'on', false)
 WHERE current_setting('synchronous_commit') IN ('off', 'local');
"""
# The same for our end. Without these a server whose machine is gone would be waited for a quarter of an hour.
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 2),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 5_000),
)

# No account's id, so a connection in this state is bound anew whoever wants it.
_UNCERTAIN = UUID(int=0)


class TenantConnection(asyncpg.Connection):
    """A connection that remembers whose tenant setting it holds, and with which generation it was opened.

    `process` is the one of the server that it was prepared in, where a pooler stands in between; None without one.
    """

    bound_to: UUID | None = None
    generation = 0
    process: int | None = None

    async def bind(self, account_id: UUID | None) -> None:
        """Let this connection see this account's rows and no others; nobody's for None."""
        if self.bound_to == account_id and self.process is None:
            return
        self.bound_to = _UNCERTAIN  # until the answer is here: a broken off change may have been made or not
        is_local = self.process is not None  # then it is for the transaction that begins with `require_session`
        await self.fetchval("SELECT set_config('app.account', $1, $2)", str(account_id or ""), is_local)
        self.bound_to = account_id

    async def require_session(self) -> None:
        """Raise where a pooler lets another session answer than the one that was prepared. First in a transaction."""
        if self.process is not None:
            await sessions.require_same(self, self.process, SERVICE_ROLE)

    async def prepare_for_service(self, limits: Limits, generation: int) -> None:
        """Set what cannot be said before the connection is there."""
        self.generation = generation
        self._keep_alive()
        self.process = await sessions.behind_pooler(self)
        settings = _service_settings(limits) + _SETTINGS
        if self.get_server_version().major >= _KNOWS_TRANSACTION_TIMEOUT:
            settings += f"SET transaction_timeout = '{limits.transaction_seconds:.0f}s';"
        await self.execute(settings)

    def _keep_alive(self) -> None:
        end = self._transport.get_extra_info("socket")
        if end is None or end.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        for level, name, value in _SOCKET_OPTIONS:
            option = getattr(socket, name, None)
            if option is not None:  # not every system has each of them
                end.setsockopt(level, option, value)


class Connector:
    """Opens connections in the service's role, to the server that takes writes now.

    They are counted in generations: those of one generation were opened to what was the same server, as far as is
    known.
    """

    def __init__(self, url: str, limits: Limits, metrics: PoolMetrics) -> None:
        self.limits, self.metrics = limits, metrics
        self.generation = 0
        self._url = url

    async def __call__(self) -> TenantConnection:
        """A connection to the server that takes writes. Raises what the driver raises.

        There is no limit for one command: a use of a connection has one as a whole, which sends no cancel request.
        """
        generation = self.generation
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            server_settings = {"application_name": "customary", "timezone": "UTC"}
            connection = await servers.connect(
                self._url, server_settings=server_settings, connection_class=TenantConnection
            )
            try:
                await connection.prepare_for_service(self.limits, generation)
            except BaseException:
                connection.terminate()
                raise
        self.metrics.opened()
        connection.add_termination_listener(self.metrics.closed)
        return connection


def _service_settings(limits: Limits) -> str:
    """What everything else builds on. `role` makes every connection the service's, whatever role the URL logs in as.

    So the policies bind it. A pooler would refuse these with the first bytes, or be told to drop them without a word.
    """
    settings = {
        "role": SERVICE_ROLE,
        "app.account": "",
        "search_path": SEARCH_PATH,
        "jit": "off",
        "enable_seqscan": "on" if limits.may_read_whole_tables else "off",
        "statement_timeout": f"{limits.statement_seconds:.0f}s",
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS:.0f}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_SECONDS:.0f}s",
    }
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items()) + ";"
