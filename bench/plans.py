"""How PostgreSQL answers the statements that are asked most, among a million customers.

    python -m bench.plans [--customers 1000000] [--directory build/bench] [--json]

Each work of `bench.hot` is done by the product's own functions, in the service's role and under its policies, and each
statement that it sends is prepared and explained twice as it is carried out: planned for the values at hand, and once
for all values. PostgreSQL takes either, as it sees fit. All of it is undone at the end.

Two things are wrong with a plan: to read from one end to the other a table that grows with the customers, and to read
more than three times the rows that it returns; a search and the queue are allowed more, see `bench.hot`. What is read
and what returned is said by `bench.plan_rows`; tables that may be read as a whole do not count. For statements that
call a function for rows, what is read is what PostgreSQL counted while it ran, since no plan shows it; functions and
triggers are looked through by the same counters for tables that were read as a whole. Ends with exit code 1 if
something is wrong that is not known, which is said in `bench.hot` as well.
"""

import argparse
import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, field, to_builtins
from rich.console import Console
from rich.table import Table

from bench import dataset, history, plan_rows
from bench.hot import ALSO, HOTTEST, Place, Work
from bench.site import DIRECTORY
from customary import keyring
from customary.domain.account import Scope
from customary.operations.api_keys import create_key
from customary.operations.recording import operator
from customary.settings import Settings
from customary.storage import embedded, schema
from customary.storage.connections import Limits
from customary.storage.database import Connection, Database, Tx
from customary.storage.migrate import migrate
from customary.storage.secret_keys import KeyRing, parse
from customary.storage.statements import Statements

MODES = {"values": "force_custom_plan", "any": "force_generic_plan"}
# What may be read as a whole, because it does not grow with the customers.
BOUNDED = {
    "installation": "one row",
    "api_key_decoy": "one row",
    "accounts": "grows with the accounts",
    "api_keys": "grows with the keys that an operator makes",
    "api_key_secrets": "at most ten for each key",
    "lanes": "grows with the recipients of policies",
    "endpoints": "grows with the recipients of policies",
    "notification_policies": "grows with the policies",
    "customer_counts": "some dozen rows for each account: one write in sixty-four puts them together",
}
_COUNTERS = """
SELECT relname, seq_scan, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows
  FROM pg_stat_xact_user_tables WHERE schemaname = 'customary'
"""
_CHANGED = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) (\w+)")

# The planner's settings are those of requests; EXPLAIN takes its time.
_LIMITS = Limits(statement_seconds=60, transaction_seconds=65, use_seconds=70)


class Seen(Struct, kw_only=True):
    """How one statement was carried out, planned for its values or for `any`: all its runs together.

    `whole` are the tables that were read from one end to the other.
    """

    work: str
    statement: str
    planned_for: str
    most_read: float
    plan: str = ""
    runs: int = 0
    read: float = 0
    returned: float = 0
    buffers: int = 0
    milliseconds: float = 0
    whole: set[str] = field(default_factory=set)

    @property
    def faults(self) -> list[str]:
        """What is wrong with it."""
        found = [f"reads all of {table}" for table in sorted(self.whole - BOUNDED.keys())]
        ratio = self.read / max(self.runs, 1, self.returned)
        if ratio > self.most_read:
            found.append(f"reads {ratio:,.1f} rows for each that it returns")
        return found

    def add(self, told: dict[str, Any], changes: dict[str, tuple[int, ...]]) -> None:
        """Add what EXPLAIN told of one run, and by how much the counters of each table went up in it."""
        plan = told["Plan"]
        rows = plan_rows.rows_of(plan, BOUNDED)
        given = plan_rows.called(plan)
        if given is not None:
            rows.read = max(rows.read, sum(read for table, (_, read) in changes.items() if table not in BOUNDED))
            rows.returned += given
        self.plan = plan_rows.summary(plan)
        self.runs += 1
        self.read += rows.read
        self.returned += rows.returned
        self.buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.milliseconds += told["Execution Time"]
        self.whole |= plan_rows.scanned_whole(plan) | {table for table, (scans, _) in changes.items() if scans}


class Explaining:
    """A connection that keeps how each statement was carried out, before it carries it out for good."""

    def __init__(self, connection: Connection, work: Work) -> None:
        self.seen: dict[tuple[str, str], Seen] = {}
        self._connection, self._work = connection, work
        self._made = 0

    async def fetch(self, text: str, *parameters: object) -> list[Any]:
        """The rows of a statement."""
        await self._explain(text, parameters)
        return list(await self._connection.fetch(text, *parameters))

    async def fetchrow(self, text: str, *parameters: object) -> Any:  # noqa: ANN401 - asyncpg's record
        """The first row of a statement."""
        await self._explain(text, parameters)
        return await self._connection.fetchrow(text, *parameters)

    async def fetchval(self, text: str, *parameters: object) -> Any:  # noqa: ANN401 - a column of any type
        """The first value of the first row of a statement."""
        await self._explain(text, parameters)
        return await self._connection.fetchval(text, *parameters)

    async def execute(self, text: str, *parameters: object) -> str:
        """PostgreSQL's tag of a statement."""
        await self._explain(text, parameters)
        return await self._connection.execute(text, *parameters)

    async def _explain(self, text: str, parameters: Sequence[object]) -> None:
        self._made += 1
        name = f"hot_{self._made}"
        await self._connection.execute(f"PREPARE {name} AS {text}")
        given = f"({', '.join(map(literal, parameters))})" if parameters else ""
        for planned_for, mode in MODES.items():
            await self._connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            async with _undone(self._connection):
                await self._note(text, planned_for, f"{name}{given}")
        await self._connection.execute("SET LOCAL plan_cache_mode = auto")
        await self._connection.execute(f"DEALLOCATE {name}")

    async def _note(self, text: str, planned_for: str, call: str) -> None:
        before = await self._counters()
        explain = f"EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON) EXECUTE {call}"
        [told] = json.loads(await self._connection.fetchval(explain))
        after = await self._counters()
        changes = {table: tuple(map(int.__sub__, now, before.get(table, (0, 0)))) for table, now in after.items()}
        new = Seen(work=self._work.name, statement=label(text), planned_for=planned_for, most_read=self._work.most_read)
        self.seen.setdefault((text, planned_for), new).add(told, changes)

    async def _counters(self) -> dict[str, tuple[int, int]]:
        rows = await self._connection.fetch(_COUNTERS)
        return {row["relname"]: (row["seq_scan"], row["rows"]) for row in rows}


def literal(value: object) -> str:
    """A value as SQL writes it, for a parameter whose type PostgreSQL knows."""
    match value:
        case None:
            return "NULL"
        case list() | tuple():
            text = f"{{{','.join(map(_element, value))}}}"
        case _:
            text = _text(value)
    return "'" + text.replace("'", "''") + "'"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    escaped = _text(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(value: object) -> str:
    match value:
        case bytes():
            return f"\\x{value.hex()}"
        case datetime():
            return value.isoformat()
        case timedelta():
            return f"{value.total_seconds()} seconds"
        case _:
            return str(value)


def label(text: str) -> str:
    """What a statement is about, in a few words."""
    changed = [f"{verb.split(' ')[0]} {table}" for verb, table in _CHANGED.findall(text) if table not in {"SET", "OF"}]
    if changed:
        return f"{changed[0]} and {len(changed) - 1} more" if len(changed) > 1 else changed[0]
    while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:  # what is in parentheses is part of something
        text = shorter
    found = re.search(r"\bFROM (\w+)", text)
    return f"SELECT {found[1]}" if found else text.strip()[:40]


@asynccontextmanager
async def _undone(connection: Connection) -> AsyncGenerator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def examine(service_url: str, keys: KeyRing, place: Place, works: Sequence[Work]) -> list[Seen]:
    """How each statement of these works is carried out for this account."""
    database = await Database.open(service_url, pool_size=1, keys=keys, limits=_LIMITS)
    try:
        return [seen for work in works for seen in await _done(database, keys, place, work)]
    finally:
        database.close()


async def _done(database: Database, keys: KeyRing, place: Place, work: Work) -> list[Seen]:
    account_id = place.account.account_id
    async with database.reading(account_id) as reading, _undone(reading.connection):
        explaining = Explaining(reading.connection, work)
        if work.before is not None:
            await work.before(reading.connection, place)
        now = await reading.connection.fetchval("SELECT now()")
        await work.run(Tx(account_id, Statements(explaining), now, operator(), [], keys), place)
    return list(explaining.seen.values())


async def prepare(owner: Connection, account: dataset.DataSet, keys: KeyRing) -> Place:
    """The place where plans are looked at: this account with a history, and a new key.

    What was written since the last time is known to the planner, as it is on a server that goes on running.
    """
    await owner.execute("VACUUM (ANALYZE)")
    await history.ensure(owner, account, keys.first)
    key, _ = await create_key(owner, account.account_id, ring=keys, name="plans", scopes=frozenset(Scope))
    return Place(account, key.client_id)


def main() -> int:
    """Explain and print; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description="How are the hot statements answered?")
    parser.add_argument("--customers", type=int, default=1_000_000, help="how many customers the account has")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the database is kept between runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    data_dir = given.directory / "data"
    given.directory.mkdir(parents=True, exist_ok=True)
    with embedded.start(data_dir, holder="bench") as cluster:
        addresses = cluster.addresses
        asyncio.run(migrate(addresses.owner_url))
        keys = parse(keyring.prepare(Settings(data_dir=data_dir), addresses.service_url))
        seen = asyncio.run(_examined(addresses.owner_url, addresses.service_url, keys, given.customers))
    return report(seen, {work.name for work in ALSO if work.is_known}, as_json=given.json)


async def _examined(owner_url: str, service_url: str, keys: KeyRing, customers: int) -> list[Seen]:
    async with schema.connection(owner_url) as owner:
        sets = await dataset.ensure(owner, (1_000, customers))
        place = await prepare(owner, sets[customers], keys)
    return await examine(service_url, keys, place, (*HOTTEST, *ALSO))


def report(found: Sequence[Seen], known: Collection[str], *, as_json: bool) -> int:
    """Print the table, or the same as JSON; 1 if something is wrong with a statement whose work is none of `known`."""
    if as_json:
        rows = [{**to_builtins(each), "faults": each.faults} for each in found]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        table = Table("work", "statement", "for", "plan", "runs", "read", "returned", "buffers", "ms", "")
        for each in found:
            table.add_row(*_row(each))
        Console(width=220).print(table)
    return 1 if any(each.faults for each in found if each.work not in known) else 0


def _row(seen: Seen) -> tuple[str, ...]:
    rows = f"{seen.read:,.0f}", f"{seen.returned:,.0f}"
    of_one = f"{seen.buffers / seen.runs:,.0f}", f"{seen.milliseconds / seen.runs:.2f}"
    what = seen.work, seen.statement, seen.planned_for, seen.plan, str(seen.runs)
    return *what, *rows, *of_one, "; ".join(seen.faults) or "fine"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
