"""Looks at what the service stands on and says what to do about each finding."""

import shutil
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from customary.connectors.mail import Mailer
from customary.connectors.mail_server import MailServer
from customary.domain.delivery import Outcome
from customary.operations.encryption import rows_by_key
from customary.storage import api_keys, encrypted_rows, event_feed, jobs, schema
from customary.storage.api_keys import Need
from customary.storage.database import Connection
from customary.storage.secret_keys import KeyRing

_CLOCK_TOLERANCE_SECONDS = 2.0
_LEAST_FREE_BYTES = 1024**3
_LEAST_FREE_SHARE = 0.05
_KEPT_FOR_OPERATORS = 10
_MAIL_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 60.0

# What a promise of ours needs of the database, and why another value breaks it.
_SETTINGS = {
    "fsync": ("on", "an acknowledged write could be lost in a power cut"),
    "full_page_writes": ("on", "a page could be torn in a power cut"),
    "synchronous_commit": ("on", "an acknowledged write could be lost in a crash"),
    "data_checksums": ("on", "a damaged page would go unnoticed; switch them on with pg_checksums --enable"),
    "server_encoding": ("UTF8", "not every name can be stored; make the database again with ENCODING 'UTF8'"),
    "password_encryption": ("scram-sha-256", "passwords would be stored in a weak form"),
}
# Without these two everything works, and less is noticed when something goes wrong.
_ADVISABLE = frozenset({"data_checksums", "password_encryption"})
_SYNCHRONOUS = frozenset({"on", "remote_write", "remote_apply"})

SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])"
ROLE = f"""
SELECT r.rolsuper OR r.rolbypassrls AS is_unbound,
       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relowner = r.oid AND n.nspname = $2) AS is_owner,
       ({schema.MAY_SERVE}) AS is_usable
  FROM pg_roles r WHERE r.rolname = $1
"""  # noqa: S608 - a constant
ROOM = "SELECT current_setting('max_connections')::int AS most, (SELECT count(*) FROM pg_stat_activity) AS used"


class Verdict(StrEnum):
    """How a finding turned out."""

    FINE = "fine"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One thing that was looked at; `advice` says what to do unless it is fine."""

    topic: str
    verdict: Verdict
    found: str
    advice: str = ""


async def examine(
    connection: Connection, *, data_dir: Path, pool_connections: int, server: MailServer | None, keys: KeyRing
) -> list[Finding]:
    """Everything there is to say about this database, this machine and the mail server."""
    return [
        await _schema(connection),
        *await settings(connection),
        await _service_role(connection),
        await _connections(connection, pool_connections),
        await _clock(connection),
        disk(data_dir),
        await mail(server),
        *await _secrets(connection, keys),
        *await change_feed(connection),
        *await deliveries(connection),
    ]


async def _schema(connection: Connection) -> Finding:
    found = await connection.fetchval(schema.CURRENT) if await connection.fetchval(schema.IS_MIGRATED) else None
    if found == schema.HEAD:
        return Finding("schema", Verdict.FINE, f"version {found}")
    advice = "Run: customary migrate" if found is None or found < schema.HEAD else "Install the newer release."
    return Finding("schema", Verdict.PROBLEM, f"version {found}, needed is {schema.HEAD}", advice)


async def settings(connection: Connection) -> list[Finding]:
    """Whether this server keeps what it was told, and as it was told."""
    rows = await connection.fetch(SETTINGS, list(_SETTINGS))
    found = {row["name"]: row["setting"] for row in rows}
    return [_setting(name, found.get(name, "unknown")) for name in _SETTINGS]


def _setting(name: str, value: str) -> Finding:
    wanted, otherwise = _SETTINGS[name]
    if value == wanted or (name == "synchronous_commit" and value in _SYNCHRONOUS):
        return Finding(f"setting {name}", Verdict.FINE, value)
    verdict = Verdict.WARNING if name in _ADVISABLE else Verdict.PROBLEM
    return Finding(f"setting {name}", verdict, value, f"It should be {wanted}: {otherwise}.")


async def _service_role(connection: Connection) -> Finding:
    topic, role = "service role", schema.SERVICE_ROLE
    row = await connection.fetchrow(ROLE, role, schema.SCHEMA)
    if row is None:
        return Finding(topic, Verdict.PROBLEM, f"{role} does not exist", "Run: customary migrate")
    if row["is_unbound"] or row["is_owner"]:
        advice = f"Run: ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS; and give the tables to another role."
        return Finding(topic, Verdict.PROBLEM, f"{role} passes by the policies that keep accounts apart", advice)
    if not row["is_usable"]:
        return Finding(
            topic, Verdict.PROBLEM, f"this login may not become {role}", f"Run: GRANT {role} TO <this login>;"
        )
    return Finding(topic, Verdict.FINE, f"{role} is bound by the row-level policies")


async def _connections(connection: Connection, pool_connections: int) -> Finding:
    row = await connection.fetchrow(ROOM)
    found = f"{row['used']} of {row['most']} in use; this server opens up to {pool_connections}"
    if pool_connections + _KEPT_FOR_OPERATORS > row["most"]:
        advice = "Raise max_connections, or lower the number of workers or CUSTOMARY_POOL_SIZE."
        return Finding("connections", Verdict.PROBLEM, found, advice)
    return Finding("connections", Verdict.FINE, found)


async def _clock(connection: Connection) -> Finding:
    before = datetime.now(UTC)
    at_database = await connection.fetchval("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    seconds = abs((at_database - (before + (after - before) / 2)).total_seconds())
    found = f"{seconds:.3f} s between this machine and the database"
    if seconds > _CLOCK_TOLERANCE_SECONDS:
        return Finding("clock", Verdict.WARNING, found, "Let both machines set their clocks by NTP.")
    return Finding("clock", Verdict.FINE, found)


async def _secrets(connection: Connection, keys: KeyRing) -> list[Finding]:
    """Whether everything that has to be is encrypted, with keys that are at hand; nothing of another schema."""
    is_migrated = await connection.fetchval(schema.IS_MIGRATED)
    if not is_migrated or await connection.fetchval(schema.CURRENT) != schema.HEAD:
        return []
    if not await connection.fetchval(schema.MAY_SERVE):
        return []
    async with connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {schema.SERVICE_ROLE}")
        rows = rows_by_key(await encrypted_rows.by_key(connection))
        needs = await api_keys.needs(connection)
    return [secrets(rows, keys), api_secrets(needs, keys)]


def secrets(rows: dict[str | None, int], keys: KeyRing) -> Finding:
    """Whether these keys open so many rows by the id of their key, None for those that are not encrypted."""
    topic = "secrets"
    missing = sorted(key_id for key_id in rows if key_id is not None and key_id not in keys.ids)
    if missing:
        count = sum(rows[key_id] for key_id in missing)
        advice = f"Add these keys to the secret keys again: {', '.join(missing)}."
        return Finding(topic, Verdict.PROBLEM, f"{count} rows are encrypted with keys that are not here", advice)
    if rows.get(None):
        advice = "Start the server, which encrypts them, or run: customary secrets reencrypt"
        return Finding(topic, Verdict.PROBLEM, f"{rows[None]} rows are not encrypted", advice)
    if not keys.ids:
        advice = "With the embedded database, start the server. Else see: customary secrets new-key"
        return Finding(topic, Verdict.WARNING, "there are no secret keys, without which no server starts", advice)
    found = f"{sum(rows.values())} rows, all encrypted; the key in use is {keys.first}"
    return Finding(topic, Verdict.FINE, found)


def api_secrets(needs: list[Need], keys: KeyRing) -> Finding:
    """Whether the secrets of API keys can be checked with these keys."""
    topic, count = "API secrets", sum(need.secrets for need in needs)
    missing = [need for need in needs if need.key_id is not None and need.key_id not in keys.ids]
    if missing:
        found = f"{sum(need.secrets for need in missing)} need keys that are not here, and open nothing"
        names = ", ".join(str(need.key_id) for need in missing)
        advice = f"Add these keys to the secret keys again: {names}. If they are lost, see: customary keys rotate"
        return Finding(topic, Verdict.PROBLEM, found, advice)
    plain = sum(need.secrets for need in needs if need.key_id is None)
    if plain:
        advice = "Start the server, which does that."
        return Finding(topic, Verdict.PROBLEM, f"{plain} are hashed without a secret key", advice)
    return Finding(topic, Verdict.FINE, f"{count} in use, all hashed with keys that are here")


async def change_feed(connection: Connection) -> list[Finding]:
    """Whether readers of the change feed get what has happened; nothing of another schema, or under the policies."""
    if not await _sees_all(connection):
        return []
    topic, waiting = "change feed", await event_feed.waiting(connection)
    if waiting.has_foreign:
        found = "the database was restored from another PostgreSQL server, so its events have numbers of that one"
        advice = "Run: customary migrate"
        return [Finding(topic, Verdict.PROBLEM, found, advice)]
    if waiting.seconds > _LONGEST_WAIT_SECONDS:
        found = f"readers have waited {waiting.seconds:.0f} s for a transaction that still writes"
        advice = "Find it in pg_stat_activity or pg_prepared_xacts, whichever database it is in, and end it."
        return [Finding(topic, Verdict.WARNING, found, advice)]
    return [Finding(topic, Verdict.FINE, "readers wait for nothing")]


async def deliveries(connection: Connection) -> list[Finding]:
    """Whether somebody delivers; nothing of another schema, or under the policies."""
    if not await _sees_all(connection):
        return []
    topic, backlog = "deliveries", await jobs.backlog(connection)
    if backlog.overdue:
        found = f"{backlog.overdue} of {backlog.waiting} that wait should have been attempted five minutes ago"
        advice = "Start `customary worker`, or `customary serve` without --no-worker; more of them if some run."
        return [Finding(topic, Verdict.PROBLEM, found, advice)]
    if backlog.resting:
        found = f"{backlog.waiting} wait; recipients that are paused or disabled: {backlog.resting}"
        return [Finding(topic, Verdict.WARNING, found, "See: customary deliveries recipients")]
    return [Finding(topic, Verdict.FINE, f"{backlog.waiting} wait, none for too long")]


async def _sees_all(connection: Connection) -> bool:
    """Whether the schema is this release's and the policies hide no account's rows."""
    if not await connection.fetchval(schema.IS_MIGRATED) or await connection.fetchval(schema.CURRENT) != schema.HEAD:
        return False
    return not await connection.fetchval(schema.IS_BOUND)


def disk(data_dir: Path) -> Finding:
    """Whether there is room left where the data directory is."""
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    usage = shutil.disk_usage(place)
    found = f"{usage.free / 1024**3:.1f} GiB free at {place}"
    if usage.free < max(_LEAST_FREE_BYTES, _LEAST_FREE_SHARE * usage.total):
        return Finding("disk", Verdict.WARNING, found, "Make room: a full disk stops every write.")
    return Finding("disk", Verdict.FINE, found)


async def mail(server: MailServer | None) -> Finding:
    """Whether the mail server answers and lets this service in; nothing is sent through it."""
    if server is None:
        return Finding("mail", Verdict.FINE, "not set; e-mail policies are refused")
    answer = await Mailer(server).greet(_MAIL_SECONDS)
    if answer.outcome is not Outcome.DELIVERED:
        advice = "Check CUSTOMARY_SMTP_URL and the mail server; until it answers, e-mails wait and are tried again."
        return Finding("mail", Verdict.PROBLEM, f"{server.place}: {answer.error}", advice)
    if server.is_readable:
        advice = "Leave starttls=no out of CUSTOMARY_SMTP_URL, or use smtps://, if the mail server can do TLS."
        return Finding("mail", Verdict.WARNING, f"{server.place} answers, and everybody on the way reads along", advice)
    return Finding("mail", Verdict.FINE, f"{server.place} answers")
