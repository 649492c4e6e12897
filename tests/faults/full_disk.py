"""The disk of the embedded database is full for a while: `python -m tests.faults.full_disk`.

At first PostgreSQL cannot make its tables longer. Then there is no room for its log of changes either, and it ends; it
is left like that for as long as is asked for. What came of it is printed.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from msgspec import Struct
from tests.faults.support import Service, serving, until
from tests.faults.support_disk import Disk, disk, missing
from tests.faults.support_embedded import broken_pages, damage, urls
from tests.faults.support_load import Load, Samples, loaded
from tests.support.keys import TEXT

_MEGABYTES = 100
_SAMPLES = 20
_IS_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Result(Struct, frozen=True):
    """What a full disk did: the writes and reads while tables could not grow, and what came after."""

    writes: Samples
    reads: Samples
    starts: int
    well_after_seconds: float

    def __str__(self) -> str:
        """Say it in two lines."""
        refused = [each for each in self.writes if each.status == 503]
        return (
            f"no room for tables: {len(refused)} of {len(self.writes)} writes refused, after"
            f" {max(each.seconds for each in refused):.2f} s at the longest; {len(self.reads)} reads answered, all with"
            f" {', '.join(sorted({str(each.status) for each in self.reads}))}\n"
            f"no room for the log: PostgreSQL was started {self.starts} times;"
            f" well {self.well_after_seconds:.2f} s after there was room"
        )


def fill_up(directory: Path, seconds: float) -> Result:
    """A service under load on a disk that is full; PostgreSQL is away for at least so long.

    Nothing acknowledged is lost, whoever asked was told in time what to expect, and the files are whole at the end.
    """
    with disk(_MEGABYTES) as full:
        with serving(full.path, given={"CUSTOMARY_SECRET_KEYS": TEXT}) as service:
            owner, admin = urls(full.path)
            with loaded(service, owner, directory) as load:
                full.fill()
                writes, reads = _no_room_for_tables(service, load)
                _no_room_for_the_log(service, full, admin, seconds)
                full.clear()
                well_after_seconds = load.watch.well_after(time.monotonic())
                load.check()
            starts = service.error.count("starting it again")
            assert damage(admin) == []
        assert broken_pages(full.path) == ""
    return Result(writes, reads, starts, well_after_seconds)


def _no_room_for_tables(service: Service, load: Load) -> tuple[Samples, Samples]:
    """What was written and read from when the room in PostgreSQL's own pages was used up."""
    watch = load.watch
    full_at = until(lambda: next((each.at for each in list(watch.writes) if each.status == 503), None))
    until(lambda: len([each for each in list(watch.writes) if each.at >= full_at]) >= _SAMPLES)
    until(lambda: [line for line in service.log() if line["event"] == "database_disk_full"])
    writes, reads = ([each for each in samples if each.at >= full_at] for samples in (watch.writes, watch.reads))
    return writes, reads


def _no_room_for_the_log(service: Service, full: Disk, admin: str, seconds: float) -> None:
    """Use up what PostgreSQL has of its log; wait until it was started so often that it is only tried now and then."""
    with contextlib.suppress(*_IS_AWAY):
        asyncio.run(_fill_log(admin))
    full.fill()
    ended_at = time.monotonic()
    until(lambda: "within a minute; the next start is in" in service.error)
    until(lambda: time.monotonic() - ended_at >= seconds, seconds + 10)
    assert not service.is_ready()


async def _fill_log(admin: str) -> None:
    """Begin the next file of the log of changes, until there is none."""
    connection = await asyncpg.connect(admin)
    try:
        while True:
            await connection.execute("SELECT pg_switch_wal(), txid_current()")
    finally:
        connection.terminate()


def main(arguments: Sequence[str]) -> None:
    """Fill a disk once, and leave it full for so many seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.full_disk", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="how long PostgreSQL cannot start")
    asked = parser.parse_args(arguments)
    if (what := missing()) is not None:
        sys.exit(f"This {what}.")
    with tempfile.TemporaryDirectory(prefix="customary-full-disk-") as directory:
        sys.stdout.write(f"{fill_up(Path(directory), asked.seconds)}\n")
    sys.stdout.write("Nothing acknowledged was lost, nothing was done twice, and the files are whole.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
