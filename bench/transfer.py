"""What an export and an import of customers cost beside what PostgreSQL takes for the same rows by itself.

    python -m bench.transfer [--customers 60000] [--rounds 5] [--json]

The commands run as people run them, in processes of their own. Beside an import, the rows that it made are loaded by
COPY into the same empty tables with the same indexes; beside an export, the tables that it reads are written by COPY.
What the program takes to start, measured in turns with them, is told by itself and taken off exports: a file of this
size is written in the time of two starts. Ends with exit code 1 if a figure is beyond its bar.
"""

import argparse
import asyncio
import csv
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, to_builtins
from tests.faults.support import PROGRAM, environment
from tests.support import cluster as clusters
from tests.support.clients import owner_connection
from tests.support.cluster import Database, Databases

from bench.findings import Finding, report
from customary.operations.accounts import create_account

LEAST_IMPORT = 0.20
LEAST_EXPORT = 0.30
MOST_MEMORY_GROWTH_MEGABYTES = 20
MOST_FIRST_BYTE_SECONDS = 1.0
_PIECE_BYTES = 1_048_576
_LOOK_SECONDS = 0.1

# What an import fills, in the order of the foreign keys. The keys of custom properties come by a trigger both times.
FILLED = ("customers", "contacts", "customer_aliases", "integration_links", "activity_logs", "events")
FORMATS = ("csv", "jsonl")
READ = ("customers", "contacts", "customer_aliases", "integration_links")
COLUMNS = (
    "legalName,label,url,address.line1,address.town,address.postcode,address.country,taxStatus,contacts,"
    "customerAliases,integrationIds,customProperties"
).split(",")


class Run(Struct, frozen=True):
    """How a command went: its time, its largest memory, and when its first byte came."""

    seconds: float
    memory_megabytes: float
    first_byte_seconds: float


async def main() -> int:
    """Measure and print; the exit code says whether all is within its bar."""
    parser = argparse.ArgumentParser(description="What do exports and imports cost beside COPY?")
    parser.add_argument("--customers", type=int, default=60_000, help="how many customers there are")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds of exports")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with clusters.running() as cluster, tempfile.TemporaryDirectory() as place:
        async with Databases.of(cluster) as databases:
            small = await small_ones(databases, Path(place), given.customers // 10)
            async with databases.fresh() as database, databases.fresh() as other:
                run = await import_into(database, Path(place), given.customers)
                floor = await copied_in(database, other, Path(place))
                found = import_findings(given.customers, run, small[0], floor)
                found += await exporting(database, Path(place), given.rounds, given.customers, small[1])
    if given.json:
        sys.stdout.write(json.dumps([to_builtins(finding) for finding in found], indent=2) + "\n")
    else:
        report(found)
    return 0 if all(finding.is_within for finding in found) else 1


async def small_ones(databases: Databases, place: Path, count: int) -> tuple[Run, dict[str, Run]]:
    """An import of so many customers into a database of its own, and their exports in both formats."""
    async with databases.fresh() as database:
        run = await import_into(database, place, count)
        return run, {form: await export(database, place, form) for form in FORMATS}


async def export(database: Database, place: Path, form: str) -> Run:
    """An export of all customers to a file."""
    with (place / f"export.{form}").open("wb") as file:
        options = ("--account", "bench", "--format", form, "--database-url", database.owner_url)
        return await command("customers", "export", *options, on_output=file.write)


async def import_into(database: Database, place: Path, count: int) -> Run:
    """An import of so many customers into this database."""
    file = place / "customers.csv"
    write_customers(file, count)
    async with owner_connection(database.owner_url) as owner:
        await create_account(owner, "bench")
    return await command("customers", "import", str(file), "--account", "bench", "--database-url", database.owner_url)


def write_customers(path: Path, count: int) -> None:
    """A file of customers with a contact, an alias, two links and a custom property each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(count):
            contact = {
                "name": f"Ada Lovelace {number}",
                "email": f"ada@customer{number}.example",
                "billingPreference": "PRIMARY",
            }
            links = [{"service": "Stripe", "id": f"cus_{number:010}"}, {"service": "HubSpot", "id": f"{number}"}]
            writer.writerow(
                [
                    *(f"Société Analytique {number} & Sons", f"Branch {number % 97}"),
                    *(f"https://www.customer{number}.example/", f"{number} Market Street", "Leeds", "LS1 6DT", "GB"),
                    *("TAXED", json.dumps([contact]), json.dumps([f"crm-{number}"]), json.dumps(links)),
                    json.dumps({"region": f"region {number % 7}"}),
                ]
            )


async def command(*words: str, on_output: Callable[[bytes], object] = len) -> Run:
    """Run a command; it must succeed."""
    return await asyncio.to_thread(_command, words, on_output)


def _command(words: tuple[str, ...], on_output: Callable[[bytes], object]) -> Run:
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*PROGRAM, *words], env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    output = process.stdout
    if output is None:
        raise TypeError
    first_byte, memory = 0.0, 0.0
    looked = started
    while True:
        is_there, _, _ = select.select([output], [], [], _LOOK_SECONDS)
        now = time.monotonic()
        if now - looked >= _LOOK_SECONDS:
            memory, looked = _peak_megabytes(process.pid) or memory, now
        if not is_there:
            continue
        piece = os.read(output.fileno(), _PIECE_BYTES)
        if not piece:
            break
        first_byte = first_byte or now - started
        on_output(piece)
    if process.wait() != 0:
        message = f"{' '.join(words)} ended with {process.returncode}"
        raise RuntimeError(message)
    return Run(time.monotonic() - started, memory, first_byte)


def _peak_megabytes(pid: int) -> float | None:
    """The most memory that a process has had; None once it has ended.

    What `wait4` tells of it is at least what this process here had when it started that one.
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


async def copied_in(source: Database, target: Database, place: Path) -> float:
    """How long PostgreSQL takes for the rows of one database in the empty tables of another one."""
    async with owner_connection(source.owner_url) as owner:
        for table in ("accounts", *FILLED):
            await owner.copy_from_table(table, output=place / table, format="binary")
    async with owner_connection(target.owner_url) as owner:
        await owner.copy_to_table("accounts", source=place / "accounts", format="binary")
        started = time.monotonic()
        for table in FILLED:
            await owner.copy_to_table(table, source=place / table, format="binary")
        return time.monotonic() - started


async def copied_out(database: Database, place: Path) -> float:
    """How long PostgreSQL takes to write the tables that an export reads."""
    async with owner_connection(database.owner_url) as owner:
        started = time.monotonic()
        for table in READ:
            await owner.copy_from_table(table, output=place / f"{table}.out")
        return time.monotonic() - started


async def exporting(database: Database, place: Path, rounds: int, count: int, small: dict[str, Run]) -> list[Finding]:
    """Exports in both formats beside COPY and beside a start of the program, in turns."""
    runs: dict[str, list[Run]] = {form: [] for form in FORMATS}
    floors: list[float] = []
    starts: list[float] = []
    for _ in range(rounds):
        floors.append(await copied_out(database, place))
        starts.append((await command("accounts", "list", "--database-url", database.owner_url)).seconds)
        for form, found in runs.items():
            found.append(await export(database, place, form))
    floor, start = statistics.median(floors), statistics.median(starts)
    findings = [
        Finding("start of the program", start, "s"),
        Finding("COPY TO of the tables that an export reads", floor, "s"),
    ]
    for form, found in runs.items():
        seconds = statistics.median(run.seconds for run in found) - start
        first_byte = statistics.median(run.first_byte_seconds for run in found) - start
        memory = max(run.memory_megabytes for run in found)
        growth = memory - small[form].memory_megabytes
        findings += [
            Finding(f"export to {form}", seconds, "s"),
            Finding(f"export to {form}", count / seconds, "customers/s"),
            Finding(f"COPY TO against export to {form}", floor / seconds, "times", least=LEAST_EXPORT),
            Finding(f"first byte of an export to {form}", max(0, first_byte), "s", most=MOST_FIRST_BYTE_SECONDS),
            Finding(f"memory of an export to {form}", memory, "MB"),
            Finding(
                "memory that ten times as many customers take more", growth, "MB", most=MOST_MEMORY_GROWTH_MEGABYTES
            ),
        ]
    return findings


def import_findings(count: int, run: Run, small: Run, floor: float) -> list[Finding]:
    """What an import came to, beside a tenth of it and beside COPY."""
    growth = run.memory_megabytes - small.memory_megabytes
    return [
        Finding("COPY of the rows that an import makes", floor, "s"),
        Finding(f"import of {count:,} customers, with the check before it", run.seconds, "s"),
        Finding("import", count / run.seconds, "customers/s"),
        Finding("COPY against import", floor / run.seconds, "times", least=LEAST_IMPORT),
        Finding("memory of an import", run.memory_megabytes, "MB"),
        Finding("memory that ten times as many customers take more", growth, "MB", most=MOST_MEMORY_GROWTH_MEGABYTES),
    ]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
