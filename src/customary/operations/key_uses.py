"""Writes down which API keys were used, and keeps their secrets under the first of the secret keys.

No answer waits for it: what it is told is collected, and written a moment later, one account after another. Nothing
depends on it either. What could not be written is passed over, and noted again with the next use.
"""

import asyncio
import contextlib
import time
from uuid import UUID

import structlog
from msgspec import Struct

from customary import logs
from customary.domain.account import ApiSecret
from customary.errors import Failure
from customary.operations.work import SERVICE
from customary.storage import api_keys
from customary.storage.api_keys import Found
from customary.storage.database import Database

INTERVAL_SECONDS = 1.0
_MINUTE_SECONDS = 60.0
_LAST_WRITE_SECONDS = 2.0
_MOST_NOTED = 10_000

_log = structlog.get_logger("customary.key_uses")


class _Outdated(Struct, frozen=True):
    """A secret that is kept under another key than the first, and what was presented of it."""

    client_id: UUID
    secret_id: UUID
    digest: bytes


class _Noted(Struct):
    """What is to be written for one account."""

    used: set[UUID]
    outdated: dict[UUID, _Outdated]


class KeyUses:
    """What became known of keys while requests were let in, until it is written.

    `lacks_keys` says that there are secrets which cannot be checked, since the key that hashed them is not at hand. It
    is looked for again every minute, as an operator may replace those secrets.
    """

    def __init__(self, database: Database) -> None:
        self.lacks_keys = False
        self._looked_at: float | None = None
        self._database = database
        self._noted: dict[UUID, _Noted] = {}
        self._rehashed: dict[UUID, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def start(self) -> None:
        """Look whether every secret can be checked here, and write from now on."""
        await self._look()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left, as far as the database answers soon."""
        self._ending.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, _LAST_WRITE_SECONDS)

    def note(self, found: Found, secret: ApiSecret, digest: bytes) -> None:
        """This key was opened by this secret, whose digest is the one that was presented."""
        key = found.key
        is_due = key.last_used_at is None or (found.now - key.last_used_at).total_seconds() > _MINUTE_SECONDS
        is_outdated = secret.key_id != self._database.keys.first and self._may_rehash(secret.id)
        if not (is_due or is_outdated) or len(self._noted) >= _MOST_NOTED:
            return
        noted = self._noted.setdefault(key.account_id, _Noted(set(), {}))
        if is_due:
            noted.used.add(key.client_id)
        if is_outdated:
            noted.outdated[secret.id] = _Outdated(key.client_id, secret.id, digest)

    def _may_rehash(self, secret_id: UUID) -> bool:
        """Once a minute: servers whose first keys differ would write the same row in turn with every request."""
        now = time.monotonic()
        if now - self._rehashed.get(secret_id, -_MINUTE_SECONDS) < _MINUTE_SECONDS:
            return False
        if len(self._rehashed) >= _MOST_NOTED:
            self._rehashed.clear()
        self._rehashed[secret_id] = now
        return True

    async def write(self) -> None:
        """Write all that was noted, each account's in a transaction of its own."""
        waiting, self._noted = self._noted, {}
        for account_id, noted in waiting.items():
            try:
                await self._write_account(account_id, noted)
            except Failure:
                pass  # the database cannot answer now
            except Exception as error:  # noqa: BLE001 - a defect here must cost no more than what was to be written
                _log.error("key_uses_not_written", places=logs.places(error))

    async def _write_account(self, account_id: UUID, noted: _Noted) -> None:
        # In one order, so that two processes that write the same rows do not wait for each other.
        async with self._database.transaction(account_id, SERVICE) as tx:
            if noted.used:
                await api_keys.touch(tx, sorted(noted.used))
            for _, each in sorted(noted.outdated.items()):
                await api_keys.rehash(tx, each.client_id, each.secret_id, each.digest)

    async def _look(self) -> None:
        """Find out whether there are secrets that nobody can check here, and tell the operator."""
        try:
            async with self._database.without_tenant() as connection:
                needs = await api_keys.needs(connection)
        except Failure:
            return  # looked for again soon
        self._looked_at = time.monotonic()
        known = {None, *self._database.keys.ids}
        missing = {need.key_id: need.secrets for need in needs if need.key_id not in known}
        self.lacks_keys = bool(missing)
        if missing:
            _log.error("api_secrets_without_their_key", secrets_by_key=missing)

    async def _run(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), INTERVAL_SECONDS)
            await self.write()
            if self._looked_at is None or (self.lacks_keys and time.monotonic() - self._looked_at > _MINUTE_SECONDS):
                await self._look()
