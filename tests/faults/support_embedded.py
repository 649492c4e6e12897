"""The embedded database as an administrator sees it: its URLs, and what PostgreSQL's own tools say of its files."""

import asyncio
import json
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from tests.faults.support_postgresql import unprivileged

from customary.storage import embedded, embedded_places

_TABLES = """
SELECT c.oid::regclass || ': ' || v.msg AS found FROM pg_class c CROSS JOIN LATERAL verify_heapam(c.oid) v
 WHERE c.relkind = 'r' AND c.relpersistence = 'p'
"""
_INDEXES = """
SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
 WHERE c.relkind = 'i' AND c.relpersistence = 'p' AND a.amname = 'btree'
"""


def urls(data_dir: Path) -> tuple[str, str]:
    """The URLs of the tables' owner and of the administrator of a running embedded database."""
    with embedded.running(data_dir) as found:
        owner = found.owner_url
    passwords = json.loads(next(data_dir.rglob("passwords.json")).read_text(encoding="utf-8"))
    netloc = f"customary_admin:{quote(passwords['admin'], safe='')}@"
    return owner, urlunsplit(urlsplit(owner)._replace(netloc=netloc))


def damage(admin_url: str) -> list[str]:
    """What PostgreSQL's examination finds wrong with the tables and indexes of the database that runs."""
    return asyncio.run(_damage(admin_url))


async def _damage(admin_url: str) -> list[str]:
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        found: list[str] = [row["found"] for row in await connection.fetch(_TABLES)]
        try:
            await connection.execute(_INDEXES)
        except asyncpg.PostgresError as error:  # it stops at the first
            found.append(str(error))
        return found
    finally:
        await connection.close()


def broken_pages(data_dir: Path) -> str:
    """What PostgreSQL's tool says about the checksums of the cluster, which must not run; nothing if all are right."""
    cluster, user = embedded.describe(data_dir).cluster, unprivileged()
    assert cluster is not None
    done = subprocess.run(
        [embedded_places.binaries(user) / "pg_checksums", "--check", "-D", cluster],
        capture_output=True,
        text=True,
        check=False,
        user=user.uid if user.switch else None,
        group=user.gid if user.switch else None,
    )
    return "" if done.returncode == 0 else done.stderr


def said(data_dir: Path) -> str:
    """What the database wrote into its log."""
    home = embedded.describe(data_dir).log_dir
    assert home is not None
    return "".join(file.read_text(encoding="utf-8", errors="replace") for file in sorted(home.glob("*.log")))
