"""A campaign against the service: rounds of lives that end in every way, under clients, each followed by a check.

A round has an account of its own and clients that work through all of its lives. In a life the service dies at some
site, or faults come from outside, until it has had its share; the next one begins where it was killed. After the last
one everything is made well, and what the clients were told is compared with what is there.
"""

import asyncio
import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from tests.support.clients import owner_connection
from tests.torture import postgresql, proxy
from tests.torture.checker import check
from tests.torture.clients import USUAL, Clients, Shape, Tenant, clients, gathered, new_tenant
from tests.torture.history import History
from tests.torture.installation import OF_DATABASE, OF_SERVER, Embedded, Installation, Own
from tests.torture.lives import Life, live
from tests.torture.progress import Teller

from customary.crashpoint import SERVER_SITES
from customary.storage import embedded
from customary.storage.migrate import migrate

# What is there of an account, as one text: when it is asked again at the end it has to be the same.
_CONTENT = """
SELECT concat_ws(' ',
    (SELECT count(*) || md5(string_agg(e::text, '' ORDER BY e.id)) FROM events e WHERE account_id = $1),
    (SELECT count(*) || md5(string_agg(a::text, '' ORDER BY a.id)) FROM activity_logs a WHERE account_id = $1),
    (SELECT count(*) || md5(string_agg(c::text, '' ORDER BY c.id)) FROM customers c WHERE account_id = $1),
    (SELECT count(*) || md5(string_agg(i::text, '' ORDER BY i.key)) FROM idempotency_keys i WHERE account_id = $1))
"""
_INDEXES = """
SELECT count(bt_index_check(c.oid, true)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
 WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relnamespace = 'customary'::regnamespace
"""
_WORKERS = 3


class Round(Struct, frozen=True, kw_only=True):
    """Lives under the same clients, on a database of their own or the embedded one."""

    name: str
    lives: tuple[Life, ...]
    is_embedded: bool = False
    shapes: tuple[Shape, ...] = USUAL


class Report(Struct, kw_only=True):
    """What was done and what was found, so far."""

    seed: int
    commit: str
    kills: Counter[str] = msgspec.field(default_factory=Counter)
    losses: Counter[str] = msgspec.field(default_factory=Counter)
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    done: Counter[str] = msgspec.field(default_factory=Counter)
    rounds: int = 0
    lives: int = 0
    unanswered: int = 0
    slowest_answer_seconds: float = 0.0
    slowest_recovery_seconds: float = 0.0
    seconds: float = 0.0
    problems: list[str] = msgspec.field(default_factory=list)

    @property
    def server_kills(self) -> int:
        """How often a process of the service was killed, or killed itself."""
        return killed(self.kills, (*OF_SERVER, *SERVER_SITES))

    @property
    def database_kills(self) -> int:
        """How often processes of the database were killed."""
        return killed(self.kills, OF_DATABASE)

    def lines(self) -> list[str]:
        """The same for people."""
        return [
            f"{self.server_kills} kills of the server, {self.database_kills} of the database: {_listed(self.kills)}",
            f"{self.lives} lives of the service in {self.rounds} rounds",
            f"on the way to the database: {_listed(self.losses) or 'nothing was lost'}",
            f"asked: {_listed(self.done)}",
            f"found: {_listed(self.counts)}",
            f"{self.unanswered} requests had no answer; the slowest one took {self.slowest_answer_seconds:.1f} s",
            f"the slowest recovery of the database took {self.slowest_recovery_seconds:.1f} s",
            *(self.problems[:30] or ["nothing is lost, doubled, out of order or unexplained"]),
        ]


def killed(kills: Counter[str], kinds: Iterable[str]) -> int:
    """How many of these kinds."""
    return sum(kills[kind] for kind in kinds)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


class Campaign:
    """Carries out rounds and keeps the report. Those on a database of its own share it until the end."""

    def __init__(self, directory: Path, report: Report, teller: Teller) -> None:
        self.report = report
        self._directory, self._teller = directory, teller
        self._chance = random.Random(f"{report.seed} campaign")  # noqa: S311 - it chooses faults, and guards nothing
        self._numbers = itertools.count(1)
        self._left_behind: dict[Tenant, str] = {}

    def run(self, rounds: Iterable[Round]) -> None:
        """Carry out these rounds; the next one is asked for when the one before is in the report."""
        with ExitStack() as stack:
            own: Own | None = None
            for each in rounds:
                if each.is_embedded:
                    with _embedded_home() as home:
                        self._round(each, Embedded(home / "data"), home)
                    continue
                own = own or stack.enter_context(_own(self.report.seed))
                self._round(each, own, None)
                self.report.losses = Counter(own.proxy.counts)
            if own is not None:
                self._still_there(own.owner_url)

    def _round(self, plan: Round, database: Own | Embedded, home: Path | None) -> None:
        began, number = time.monotonic(), next(self._numbers)
        directory = self._directory / f"round-{number}"
        directory.mkdir()
        seed = self.report.seed * 1000 + number
        installation = Installation(directory, database, seed, workers=_WORKERS, data_dir=home and home / "data")
        problems = len(self.report.problems)
        try:
            self._lives(plan, installation, directory, seed)
        finally:
            installation.close()
            self._note(installation)
        found = self.report.problems[problems:]
        self._teller.say(
            f"{plan.name}: {time.monotonic() - began:.0f} s; {self.report.server_kills} kills of the server and"
            f" {self.report.database_kills} of the database so far;"
            f" {f'{len(found)} PROBLEMS' if found else 'nothing found'}"
        )
        for problem in found[:10]:
            self._teller.say(f"  {problem}")

    def _lives(self, plan: Round, installation: Installation, directory: Path, seed: int) -> None:
        tenant = _new_account(installation)
        where = tenant.where(installation.port)
        with clients(where, directory, seed=seed, shapes=plan.shapes) as running:
            for life in plan.lives:
                live(life, installation, running, self._chance, lambda: self._show(plan, installation, running))
                self.report.lives += 1
            installation.start()
            history = running.end()
            self.report.done += running.done()
        found = check(history, gathered(tenant, installation.port))
        installation.end()
        self.report.problems += found.problems
        self.report.counts += found.counts
        self._note_times(history)
        if isinstance(installation.database, Own):
            self._left_behind[tenant] = asyncio.run(_content(tenant))

    def _show(self, plan: Round, installation: Installation, running: Clients) -> None:
        """How far it is, with what this round has done so far."""
        report = self.report
        kills = report.server_kills + report.database_kills + killed(installation.done, (*OF_SERVER, *SERVER_SITES))
        done = report.done + running.done()
        state = f"{done['races']} racing requests, {done['contended']} contended writes, {plan.name}"
        self._teller.show(kills + killed(installation.done, OF_DATABASE), state)

    def _note(self, installation: Installation) -> None:
        report = self.report
        report.rounds += 1
        report.kills += installation.done
        report.slowest_recovery_seconds = max(report.slowest_recovery_seconds, installation.slowest_recovery_seconds)
        report.problems += [f"the service says: {line}" for line in installation.defects()]

    def _note_times(self, history: History) -> None:
        for attempt_id, answer in history.answers.items():
            if answer.status is None:
                self.report.unanswered += 1
                continue
            seconds = answer.at - history.attempts[attempt_id].at
            self.report.slowest_answer_seconds = max(self.report.slowest_answer_seconds, seconds)

    def _still_there(self, owner_url: str) -> None:
        """What earlier rounds left is as they left it, and the indexes fit the tables."""
        for tenant, content in self._left_behind.items():
            if asyncio.run(_content(tenant)) != content:
                self.report.problems.append(f"what was there of the account {tenant.id} is not the same any more")
        self.report.counts["indexes checked"] += asyncio.run(_check_indexes(owner_url))


def _new_account(installation: Installation) -> Tenant:
    """An account for a round. The embedded database has to be started for it, as for any command."""
    database = installation.database
    if isinstance(database, Own):
        return asyncio.run(new_tenant(database.owner_url, f"account of {installation.port}"))
    installation.start()
    with embedded.running(installation.data_dir) as addresses:
        tenant = asyncio.run(new_tenant(addresses.owner_url, "torture"))
    installation.end()
    return tenant


@contextmanager
def _own(seed: int) -> Generator[Own]:
    """A migrated PostgreSQL with a proxy in front of it."""
    with postgresql.running() as server, proxy.running(server.port, seed) as between:
        asyncio.run(migrate(server.url()))
        yield Own(server, between)


@contextmanager
def _embedded_home() -> Generator[Path]:
    """Where an embedded database can be, for its user to enter."""
    with tempfile.TemporaryDirectory(prefix="customary-torture-") as parent:
        Path(parent).chmod(0o755)
        yield Path(parent)


async def _content(tenant: Tenant) -> str:
    async with owner_connection(tenant.owner_url) as owner:
        return await owner.fetchval(_CONTENT, tenant.id)


async def _check_indexes(owner_url: str) -> int:
    async with owner_connection(owner_url) as owner:
        await owner.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public")
        return await owner.fetchval(_INDEXES)
