"""`customary customers`, in processes of its own: what it prints, how it ends, and that it can be killed at will."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from tests.faults.support import PROGRAM, Ran, customary, environment
from tests.support.bodies import newest
from tests.support.clients import Account, Json, owner_connection
from tests.support.cluster import Database
from tests.support.transfers import lines

from customary.operations.importing import BATCH_ROWS

HEAD = "legalName,address.line1,address.town,address.postcode,address.country,taxStatus,contacts,customerAliases"
CONTACTS = '"[{""name"":""A"",""email"":""a@example.com"",""billingPreference"":""PRIMARY""}]"'

END_WAITING = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""


class Commands:
    """Runs the commands on a test's database, about the account 'first'."""

    def __init__(self, database: Database) -> None:
        self.here = ("--account", "first", "--database-url", database.owner_url)

    async def run(self, *words: str | Path, **given: str) -> Ran:
        return await asyncio.to_thread(customary, "customers", *words, *self.here, given=given)

    async def piped(self, data: bytes, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """The same with these bytes on standard input."""
        return await asyncio.to_thread(
            subprocess.run,
            [*PROGRAM, "customers", *words, *self.here],
            input=data,
            env=environment(),
            capture_output=True,
            check=False,
        )


@pytest.fixture
def commands(account: Account, database: Database) -> Commands:
    assert account.client_id
    return Commands(database)


def row(number: int, alias: str = "") -> str:
    return f'Customer {number},1 Market Street,Leeds,LS1 6DT,GB,TAXED,{CONTACTS},"[""{alias or number}""]"\r\n'


async def test_an_import_that_is_killed_goes_on_and_nothing_is_there_twice(
    commands: Commands, account: Account, database: Database, tmp_path: Path
) -> None:
    """By kill -9 before a commit and behind one: every customer is there once, with one event and its first version."""
    total = 2 * BATCH_ROWS + 7
    file = tmp_path / "customers.csv"
    file.write_text(f"{HEAD}\r\n" + "".join(map(row, range(total))), newline="")
    for site in ("import.before_commit:2", "import.after_commit:1"):
        ran = await commands.run("import", file, CUSTOMARY_CRASHPOINT=site)
        assert ran.status == -9, ran
    last = await commands.run("import", file, "--json")
    assert (last.status, last.error) == (0, "")
    outcome = json.loads(last.output)
    assert (outcome["status"], outcome["rows"], outcome["imported"]) == ("IMPORTED", total, 7)
    assert outcome["resumedAtRow"] == 2 * BATCH_ROWS
    async with owner_connection(database.owner_url) as owner:
        counted = """
            SELECT count(*), count(DISTINCT c.legal_name), max(c.version), count(DISTINCT e.id), count(DISTINCT a.value)
              FROM customers c JOIN events e ON e.account_id = c.account_id AND e.customer_id = c.id
              JOIN customer_aliases a ON a.account_id = c.account_id AND a.customer_id = c.id
             WHERE c.account_id = $1
        """
        [found] = await owner.fetch(counted, account.id)
        assert tuple(found) == (total, total, 1, total, total)
    again = await commands.run("import", file)
    assert (again.status, again.output) == (
        0,
        f"This file was imported before, all {total:,} rows of it. Nothing was changed.\n",
    )


async def test_a_database_that_goes_away_ends_it_with_a_sentence(
    commands: Commands, account: Account, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(f"{HEAD}\r\n{row(1)}", newline="")
    url = database.owner_url
    async with (
        owner_connection(url) as killer,
        owner_connection(url) as holder,
        asyncio.timeout(60),
        holder.transaction(),
    ):
        await holder.execute("LOCK TABLE customers IN EXCLUSIVE MODE")
        running = asyncio.create_task(commands.run("import", file))
        while not await killer.fetchval(END_WAITING):  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)
        ran = await running
    assert (ran.status, ran.output) == (1, "")
    assert "run the same command again, and the import goes on where it ended.\n" in ran.error
    assert ran.error.count("\n") == 1
    assert (await account.client.page())["items"] == []


async def test_what_is_wrong_ends_with_3_and_is_said_for_people_and_for_programs(
    commands: Commands, account: Account, tmp_path: Path
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text(HEAD + "\n" + row(1) + row(2).replace("GB", "UK") + row(3, alias="1"), newline="")
    ran = await commands.run("import", file)
    country = "'UK' is not a country code. Use two capital letters of ISO 3166-1, such as GB, or XK."
    assert (ran.status, ran.output) == (3, "")
    assert ran.error.splitlines() == [
        f"{file}: line 3, address.country: {country}",
        f"{file}: line 4, customerAliases: The alias '1' is one of line 2 already.",
        "customary: The file has 2 problems. Nothing was imported.",
    ]
    as_json = await commands.run("import", file, "--check", "--json")
    assert as_json.status == 3
    found: Json = json.loads(as_json.output)
    assert (found["status"], found["problemCount"]) == ("REFUSED", 2)
    assert [(each["line"], each["column"]) for each in found["problems"]] == [
        (3, "address.country"),
        (4, "customerAliases"),
    ]
    assert (await account.client.page())["items"] == []


async def test_standard_streams_and_files_carry_the_same(commands: Commands, account: Account, tmp_path: Path) -> None:
    """What comes through a pipe is checked and imported like a file; a file is there whole or not at all."""
    data = lines(newest(legalName="Ünï"), newest(legalName="Second"))
    done = await commands.piped(data, "import", "-", "--format", "jsonl")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Imported 2 customers.\n", b"")
    file = tmp_path / "out.jsonl"
    ran = await commands.run("export", "--output", file)
    assert (ran.status, ran.output) == (0, f"Exported 2 customers to {file}.\n")
    piped = await commands.run("export", "--format", "jsonl")
    assert piped.output.encode() == file.read_bytes()
    assert list(tmp_path.iterdir()) == [file]  # noqa: ASYNC240 - it is in memory


async def test_a_reader_that_leaves_and_a_place_that_is_none_end_it_without_a_traceback(commands: Commands) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - ended below
        [*PROGRAM, "customers", "export", *commands.here],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as left:
        assert left.stdout is not None
        assert left.stderr is not None
        left.stdout.close()
        assert await asyncio.to_thread(left.stderr.read) == b""
        assert left.wait() == 1
    for words in (("export", "--output", Path("/nowhere/out.csv")), ("import", Path("/nowhere/in.csv"))):
        ran = await commands.run(*words)
        assert (ran.status, ran.output) == (1, "")
        assert ran.error.startswith("customary: This machine refused it: /nowhere")
        assert ran.error.endswith("No such file or directory.\n")
