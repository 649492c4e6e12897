"""The engine: claims work that is due, does it, a bounded amount at once, and never holds a transaction meanwhile.

Any number of processes on any number of machines may run one each. Whoever does a piece of work records what came of it
in one transaction, under the lease of its claim: see `storage.jobs`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, TypeVar
from uuid import UUID

import structlog

from customary import errors
from customary.domain.activity import ActorType, Caller
from customary.domain.job import Job, Kind
from customary.logs import places
from customary.storage import jobs
from customary.storage.database import Database

Result = TypeVar("Result")
Handler: TypeAlias = Callable[[Job], Awaitable[None]]

CAPACITY = 64
_ACCOUNTS_SHARE = 4  # one account has at most a quarter of a process
# What ends at nearly the same time is made up for by one claim. Behind a claim of many there is likely more: the next
# one does not wait for the last quarter of them.
_CLAIMS_APART_SECONDS = 0.01
_MANY, _NEVER = 8, -1
_SHORTEST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 0.2
_AFTER_FAILURE_SECONDS = 1.0
_DRAIN_SECONDS = 10.0
_HOUSEKEEPING_SECONDS = 300.0
_PERSISTENCE_SECONDS = 300.0
_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 2.0

# Who changes things when nobody asked for it.
SERVICE = Caller(ActorType.SERVICE, UUID(int=0), origin="WORKER", api_version="", request_id="")

_log = structlog.get_logger("customary.work")


class Engine:
    """Does the work of all accounts that waits in one database, until it is told to stop."""

    def __init__(self, database: Database, handlers: Mapping[Kind, Handler], *, capacity: int = CAPACITY) -> None:
        self._database = database
        self._handlers = handlers
        self._capacity = capacity
        self._running: dict[asyncio.Task[None], Job] = {}
        self._freed = asyncio.Event()
        self._enough = _NEVER
        """With how little that still runs the next claim need not wait."""
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is in flight is over, or after ten seconds."""
        self._stopping.set()
        self._freed.set()

    async def run(self) -> None:
        """Work until told to stop. A database that does not answer is waited for."""
        housekeeping = asyncio.create_task(self._keep_house())
        try:
            while not self._stopping.is_set():
                await self._pause(await self._take())
                await self._await_room()
        finally:
            housekeeping.cancel()
            await self._drain()

    async def _take(self) -> float:
        """Claim what there is room for and begin it; how long to wait before the next look, at the longest."""
        self._freed.clear()
        self._enough = _NEVER
        room = self._capacity - len(self._running)
        if room <= 0:
            return _LONGEST_POLL_SECONDS
        in_flight = Counter(job.account_id for job in self._running.values())
        share = max(1, self._capacity // _ACCOUNTS_SHARE)
        try:
            claimed, put_aside = await jobs.claim(
                self._database, most=room, in_flight=in_flight, most_for_account=share
            )
        except errors.Failure as failure:
            _log.warning("claim_failed", kind=type(failure).__name__)
            return _AFTER_FAILURE_SECONDS
        except Exception as error:  # noqa: BLE001 - what is in flight shall end and be recorded, whatever this was
            _log.error("claim_failed", places=places(error))
            return _AFTER_FAILURE_SECONDS
        if put_aside:
            _log.error("work_quarantined", count=put_aside)
        for job in claimed:
            task = asyncio.create_task(self._do(job))
            self._running[task] = job
            task.add_done_callback(self._done)
        if len(claimed) >= _MANY:
            self._enough = len(self._running) - len(claimed) * 3 // 4
        return random.uniform(_SHORTEST_POLL_SECONDS, _LONGEST_POLL_SECONDS)  # noqa: S311 - so that processes do not look in step

    async def _pause(self, seconds: float) -> None:
        """Wait until something that was running is over, but no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._freed.wait()
        except TimeoutError:
            pass

    async def _await_room(self) -> None:
        """Let more come to an end, until there is room for many, or the next claim has waited for long enough."""
        try:
            async with asyncio.timeout(_CLAIMS_APART_SECONDS):
                while len(self._running) > self._enough and not self._stopping.is_set():
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            pass

    async def _do(self, job: Job) -> None:
        try:
            await self._handlers[job.kind](job)
        except errors.Failure as failure:
            # Its lease runs out and it is done again, under the same id.
            _log.warning("work_not_recorded", job_id=job.id, kind=type(failure).__name__)
        except Exception as error:  # noqa: BLE001 - one piece of work that fails on a defect of ours must not end the others
            _log.error("work_failed", job_id=job.id, places=places(error))

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._freed.set()

    async def _drain(self) -> None:
        """Let what is in flight end, then break it off and give it back."""
        if self._running:
            await asyncio.wait(self._running, timeout=_DRAIN_SECONDS)
        for task, job in list(self._running.items()):
            task.cancel()
            try:
                async with self._database.transaction(job.account_id, SERVICE) as tx:
                    await jobs.release(tx, job)
            except errors.Failure:
                _log.warning("work_not_released", job_id=job.id)

    async def _keep_house(self) -> None:
        """Now and then give up what waited for too long, and remove what has been over for long."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS * random.random())  # noqa: S311 - so that processes do not meet
            try:
                await keep_house(self._database)
            except errors.Failure as failure:
                _log.warning("housekeeping_failed", kind=type(failure).__name__)
            except Exception as error:  # noqa: BLE001 - the next time may be better
                _log.error("housekeeping_failed", places=places(error))
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)


async def persistently(action: Callable[[], Awaitable[Result]]) -> Result:
    """What `action` answers, tried again for five minutes while the database cannot answer, and raised after that.

    A result that waits for the database is good for as long as nobody else claimed the work, however long that is.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + _PERSISTENCE_SECONDS, _FIRST_RETRY_SECONDS
    while True:
        try:
            return await action()
        except errors.Undecryptable:  # time alone does not bring a key back
            raise
        except (errors.Unavailable, errors.Contended):
            if loop.time() > deadline:
                raise
        await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - so that they do not come back together
        pause = min(pause * 2, _LONGEST_RETRY_SECONDS)


async def keep_house(database: Database) -> None:
    """Give up what waited for longer than the hold, and remove what was finished longer ago than it is kept."""
    while await jobs.expire(database):
        pass
    for account_id in await jobs.accounts_with_old(database):
        while True:
            async with database.transaction(account_id, SERVICE) as tx:
                removed = await jobs.purge(tx)
            if not removed:
                break
