"""The network between a service and its database loses everything for a while: `python -m tests.faults.partitions`.

Each way in which it can do so is tried on a service under load, and what came of it is printed as one line.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from tests.faults.support import serving, until
from tests.faults.support_load import Load, loaded
from tests.faults.support_network import Link, linked, missing
from tests.faults.support_postgresql import Server, running
from tests.support.keys import TEXT


class Partition(Struct, frozen=True):
    """What is lost: what is sent `there`, what is sent `back`. The database may also start anew meanwhile.

    Connections are half open then: their other end has forgotten them, and could not say so.
    """

    name: str
    there: bool = True
    back: bool = True
    starts_anew: bool = False


PARTITIONS = (
    Partition("both ways"),
    Partition("both ways, and the database starts anew", starts_anew=True),
    Partition("on the way there", back=False),
    Partition("on the way back", there=False),
)


class Result(Struct, frozen=True):
    """What a partition did. `statuses` are those of writes that were answered while it lasted."""

    partition: Partition
    statuses: Counter[int | None]
    longest_seconds: float
    well_after_seconds: float

    def __str__(self) -> str:
        """Say it in one line."""
        statuses = ", ".join(f"{count} of {status}" for status, count in sorted(self.statuses.items(), key=str))
        return (
            f"{self.partition.name}: writes meanwhile {statuses or 'none'};"
            f" longest answer {self.longest_seconds:.1f} s; well {self.well_after_seconds:.2f} s after it was over"
        )


class World(Struct, frozen=True):
    """A service under load, and the link to its database."""

    link: Link
    server: Server
    load: Load

    def suffer(self, partition: Partition, seconds: float) -> Result:
        """Lose everything for so long, then wait until all is well."""
        watch = self.load.watch
        with self.link.cut(there=partition.there, back=partition.back):
            cut_at = time.monotonic()
            if partition.starts_anew:
                self.server.stop()
                self.server.start()
            until(lambda: time.monotonic() - cut_at > seconds, seconds + 10)
        healed_at = time.monotonic()
        well_after_seconds = watch.well_after(healed_at)
        # What was answered in the first moment may have been done before.
        meanwhile = [each for each in watch.writes if cut_at + 1 < each.at + each.seconds < healed_at]
        longest = max(each.seconds for each in [*watch.reads, *watch.writes])
        return Result(partition, Counter(each.status for each in meanwhile), longest, well_after_seconds)


@contextmanager
def world(directory: Path) -> Generator[World]:
    """A service under load whose database is behind a link, and a check of what everybody was told at the end."""
    with linked() as link, running(18, link.place) as server:
        url = asyncio.run(server.migrated())
        given = {"CUSTOMARY_SECRET_KEYS": TEXT}
        with (
            serving(directory / "none", "--database-url", url, given=given) as service,
            loaded(service, url, directory) as load,
        ):
            yield World(link, server, load)
            load.check()


def main(arguments: Sequence[str]) -> None:
    """Try every partition, for so many seconds each."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.partitions", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long each partition lasts")
    asked = parser.parse_args(arguments)
    if (what := missing()) is not None:
        sys.exit(f"This {what}.")
    with tempfile.TemporaryDirectory(prefix="customary-partitions-") as directory, world(Path(directory)) as here:
        for partition in PARTITIONS:
            sys.stdout.write(f"{here.suffer(partition, asked.seconds)}\n")
            sys.stdout.flush()
    sys.stdout.write("Nothing acknowledged was lost, nothing was done twice, and everybody was answered in time.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
