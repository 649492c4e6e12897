"""Everything that docs/transfer.md tells somebody to type is typed, and comes out as the page shows it."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.faults.support import environment
from tests.faults.test_webhooks_guide import ROOT, Dictionary, blocks_of
from tests.support.clients import owner_connection
from tests.support.cluster import Database

from customary.api import versions
from customary.operations.accounts import create_account

PAGE = ROOT / "docs" / "transfer.md"


def typed(command: str, place: Path, database: Database) -> str:
    """What a command prints that is typed in this place."""
    given = {
        "CUSTOMARY_DATABASE_URL": database.owner_url,
        "PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", f"{command}\n"],
        cwd=place,
        env=environment(given),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


async def test_everything_on_the_page_comes_out_as_shown(database: Database, tmp_path: Path) -> None:
    async with owner_connection(database.owner_url) as owner:
        await create_account(owner, "default")
    dictionary = Dictionary({})
    steps = [step for block in blocks_of(PAGE) for step in block.steps]
    assert len(steps) > 5
    for command, shown in steps:
        assert command is not None
        problem = dictionary.problem(shown, await asyncio.to_thread(typed, command, tmp_path, database))
        assert problem is None, f"$ {command}\n{problem}"


def test_the_table_has_every_column_and_no_other() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    written = [name.strip("` ") for line in rows for name in line.split("|")[1].split(",")]
    assert sorted(written) == sorted(versions.COLUMNS.names)
