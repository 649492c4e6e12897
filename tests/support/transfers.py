"""Exports and imports in a test's own process, over a connection of the tables' owner, as the commands make them."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from uuid import UUID

from tests.support.clients import Account, Json, owner_connection
from tests.support.cluster import Database

from customary.api import versions
from customary.api.tables import judge
from customary.domain.transfer import Format, Judged, Place
from customary.operations.importing import Import, Outcome, Source, Watch, check, import_customers
from customary.storage import exports, imports


async def exported(
    database: Database,
    account: Account,
    form: Format = Format.JSONL,
    *,
    has_archived: bool = True,
    on_piece: Callable[[], object] = bool,
) -> bytes:
    """An export of this account."""
    pieces: list[bytes] = []

    async def take(piece: bytes) -> None:
        pieces.append(piece)
        waiting = on_piece()
        if hasattr(waiting, "__await__"):
            await waiting  # pyright: ignore[reportGeneralTypeIssues] - it was just asked

    async with owner_connection(database.owner_url) as owner:
        count = await exports.write(owner, account.id, form, take, has_archived=has_archived)
    data = b"".join(pieces)
    if form is Format.JSONL:
        assert count == data.count(b"\n")
    return data


async def imported(
    database: Database,
    account: Account,
    data: bytes,
    form: Format = Format.JSONL,
    *,
    skips: bool = False,
    is_check: bool = False,
    is_unchanged: bool = True,
    on_batch: Callable[[], object] = bool,
) -> Outcome:
    """What comes of an import of these bytes into this account. `on_batch` is called when one is in."""
    steps: list[str] = []

    def on_progress(_read: int) -> None:
        if steps[-1] == "Importing":
            on_batch()

    async with owner_connection(database.owner_url) as owner:
        job = Import(
            owner=owner,
            account_id=account.id,
            source=source(data, form, is_unchanged=is_unchanged),
            watch=Watch(on_step=steps.append, on_progress=on_progress),
            skips=skips,
        )
        return await (check(job) if is_check else import_customers(job))


async def begun(database: Database, account: Account, data: bytes) -> None:
    """Let an import of these lines have been begun: its check is over, and no row is in."""
    async with owner_connection(database.owner_url) as owner:
        await imports.begin(owner, account.id, source(data, Format.JSONL).digest)


def source(data: bytes, form: Format, *, is_unchanged: bool = True) -> Source:
    """These bytes as a file."""

    def read(start: Place | None) -> Iterator[Judged]:
        return judge(io.BytesIO(data), form, versions.COLUMNS, versions.read_row, start)

    return Source(hashlib.sha256(data + form.value.encode()).digest(), read, lambda: is_unchanged)


def lines(*bodies: Json) -> bytes:
    """These bodies as a file, one on each line."""
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


# What an import and the API write differently: who did it, through what, and when. Ids are compared by their places.
# How many customers there are is kept in as many parts as there were statements.
DIFFERENT = {"actor_type", "actor_id", "origin", "api_version", "trace_id", "batch_id", "transaction_id"}
TABLES = """
SELECT table_name FROM information_schema.columns
 WHERE table_schema = 'customary' AND column_name = 'account_id'
   AND table_name NOT IN ('api_keys', 'api_key_secrets', 'complete_events', 'customer_imports', 'idempotency_keys',
                          'policy_secrets', 'customer_counts')
 ORDER BY table_name
"""


async def rows(database: Database, account_id: UUID) -> dict[str, list[str]]:
    """Everything that an account has, as text, without ids and times; what stands in no order of its own is sorted."""
    found: dict[str, list[str]] = {}
    async with owner_connection(database.owner_url) as owner:
        for (table,) in await owner.fetch(TABLES):
            query = f"SELECT to_jsonb(t) AS row FROM {table} t WHERE account_id = $1"  # noqa: S608 - from the catalogue
            kept = [_bare(json.loads(row["row"])) for row in await owner.fetch(query, account_id)]
            found[table] = sorted(json.dumps(each, sort_keys=True) for each in kept)
    return found


def _bare(value: Json) -> Json:
    """A value without what is another one each time: ids, times, and who wrote it."""
    if isinstance(value, dict):
        if str(value.get("field")).endswith("_at"):
            return value["field"]
        return {name: _bare(each) for name, each in value.items() if name not in DIFFERENT and not name.endswith("_at")}
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if isinstance(value, str):
        try:
            UUID(value)
        except ValueError:
            return value
        return "id"
    return value
