"""Tells the operator what is wrong with the database that nobody but an operator can put right.

A client is told less, and a failure that comes with every request is said once in a while, so that it can be seen.
"""

import time

import asyncpg
import structlog

_APART_SECONDS = 10.0

_DAMAGE = (
    "Part of the database is damaged: whatever is not asked for that part is answered as before. Keep a copy of its"
    " files, let pg_amcheck and pg_checksums say how far it goes, and restore a backup; a damaged index alone can be"
    " made again with REINDEX."
)
# An event of the log and what to do about it.
_ALARMS: dict[type[asyncpg.PostgresError], tuple[str, str]] = {
    asyncpg.DiskFullError: (
        "database_disk_full",
        "Make room where PostgreSQL keeps its data. Until then nothing can be changed; then it goes on by itself.",
    ),
    asyncpg.PostgresIOError: (
        "database_disk_fails",
        "The disk of the database failed to read or to write. Check it, and have a backup at hand.",
    ),
    asyncpg.DataCorruptedError: ("database_damaged", _DAMAGE),
    asyncpg.IndexCorruptedError: ("database_damaged", _DAMAGE),
}

_log = structlog.get_logger("customary.database")
_said_at: dict[str, float] = {}


def raise_alarm(error: Exception) -> None:
    """Log what this failure of the database asks of the operator; nothing for one that passes or is ours."""
    event, advice = next((_ALARMS[kind] for kind in type(error).__mro__ if kind in _ALARMS), (None, None))
    now = time.monotonic()
    if event is None or now - _said_at.get(event, -_APART_SECONDS) < _APART_SECONDS:
        return
    _said_at[event] = now
    # PostgreSQL's first line names files and blocks; what a row holds would be in the details.
    _log.critical(event, found=str(error.args[0]), advice=advice)
