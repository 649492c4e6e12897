"""Kills `customary migrate` at whatever moment, and its database too, and looks whether the next run finishes it.

What it finishes has to be what a migration makes that nobody disturbed, down to the last grant.
"""

import asyncio
import random
import subprocess
import time
from collections import Counter

import asyncpg
from tests.faults.support import PROGRAM, environment, succeeded, until
from tests.torture.postgresql import Postgresql, kill_all

from customary.storage import schema

# How long a migration takes from its first connection on, as a rule, and how often one is killed at most.
_USUAL_SECONDS, _MOST_KILLS = 0.8, 3
# Everything that a migration can make, in the words of the catalogue; what is named by its number is written out.
_CATALOGUE = """
WITH ours AS (SELECT 'customary'::regnamespace AS namespace)
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT format('%s %s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  pg_get_expr(d.adbin, d.adrelid)) AS line
      FROM ours JOIN pg_class c ON c.relnamespace = ours.namespace JOIN pg_attribute a ON a.attrelid = c.oid
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT pg_get_indexdef(i.indexrelid)
      FROM ours JOIN pg_class c ON c.relnamespace = ours.namespace JOIN pg_index i ON i.indexrelid = c.oid
    UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid))
      FROM ours JOIN pg_constraint ON connamespace = namespace
    UNION ALL SELECT pg_get_functiondef(p.oid)
      FROM ours JOIN pg_proc p ON p.pronamespace = ours.namespace
     WHERE p.prokind = 'f' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL SELECT format('%s %s %s %s %s', polrelid::regclass, polname, polcmd, pg_get_expr(polqual, polrelid),
                            pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
    UNION ALL SELECT format('%s %s %s', relname, relrowsecurity, relacl)
      FROM ours JOIN pg_class ON relnamespace = namespace
    UNION ALL SELECT format('%s %s', proname, proacl) FROM ours JOIN pg_proc ON pronamespace = namespace
    UNION ALL SELECT version_num FROM customary.alembic_version
) lines
"""
_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1"


class Migrations:
    """Databases of one server that are migrated under kills."""

    def __init__(self, server: Postgresql, seed: int) -> None:
        self.kills: Counter[str] = Counter()
        self.problems: list[str] = []
        self._server = server
        self._chance = random.Random(f"{seed} migrations")  # noqa: S311 - it chooses faults, and guards nothing

    def run(self, rounds: int) -> None:
        """Migrate so many databases, each after some kills, and compare them with one that was left in peace."""
        expected = self._finished("undisturbed")
        for number in range(rounds):
            name = f"disturbed_{number}"
            self._ask("postgres", f"CREATE DATABASE {name}")
            self._kill_one(name, _USUAL_SECONDS / 10)  # while it surely runs, however quick the machine is
            for _ in range(self._chance.randrange(_MOST_KILLS)):
                self._kill_one(name, _USUAL_SECONDS)
            if self._finished(name) != expected:
                self.problems.append(f"the schema of {name} is another one than that of an undisturbed migration")

    def _finished(self, name: str) -> str:
        """Migrate this database to the end; what its catalogue has then."""
        if name == "undisturbed":
            self._ask("postgres", f"CREATE DATABASE {name}")
        succeeded("migrate", "--database-url", self._url(name))
        assert self._ask(name, schema.CURRENT) == schema.HEAD
        return self._ask(name, _CATALOGUE)

    def _kill_one(self, name: str, within_seconds: float) -> None:
        """Let a migration begin, and kill it or the database at some moment, unless it is over by then."""
        running = subprocess.Popen(
            [*PROGRAM, "migrate", "--database-url", self._url(name)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: running.poll() is not None or self._ask("postgres", _CONNECTED, name))
            time.sleep(self._chance.uniform(0, within_seconds))
            if self._chance.random() < 0.25:
                kill_all(self._server.processes(), self._server.postmaster())
                self.kills["database while migrating"] += 1
                running.wait(30)
                self._server.start()
            elif running.poll() is None:
                self.kills["migration"] += 1
        finally:
            running.kill()
            running.wait(10)

    def _url(self, name: str) -> str:
        return self._server.url().rpartition("/")[0] + f"/{name}"

    def _ask(self, name: str, statement: str, *arguments: str) -> str:
        async def ask() -> str:
            connection = await asyncpg.connect(self._url(name), timeout=10)
            try:
                return await connection.fetchval(statement, *arguments)
            finally:
                await connection.close()

        return asyncio.run(ask())
