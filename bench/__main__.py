"""What the service does, beside the least that any service of its shape could do on the same machine.

    python -m bench [--quick] [--rounds 5] [--seconds 4] [--directory build/bench] [--only read,write] [--json]

Each bar compares two sides that are measured in turn, so whatever else the machine does meets both. The load comes from
wrk (the Debian package of that name); an answer that is no success ends the run. Exits with 1 below a bar.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import deliveries, growth_data, memory, reads, start, writes
from bench.bars import Bar
from bench.reads import Effort
from bench.rounds import QUICK, ROUND_SECONDS, ROUNDS
from bench.site import DIRECTORY, Site, prepared

PARTS: dict[str, Callable[[Site, Effort], Iterator[Bar]]] = {
    "read": reads.bars,
    "write": writes.bars,
    "delivery": deliveries.bars,
    "memory": memory.bars,
    "start": start.bars,
}
SMALL, LARGE, LARGE_OF_QUICK = 1_000, 1_000_000, 100_000
WRITTEN = 500  # the account that is written to, so that those that are read stay as they are


def main() -> int:
    """Measure and print; 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="The service beside its floor.")
    parser.add_argument(
        "--quick", action="store_true", help="100,000 customers instead of a million, and fewer, shorter rounds"
    )
    parser.add_argument("--rounds", type=int, help="how many rounds of each side; 5, or 3 with --quick")
    parser.add_argument("--seconds", type=float, help="how long each side of a round takes; 4, or 1 with --quick")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the database is kept between runs")
    parser.add_argument("--only", help=f"some parts, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    size = LARGE_OF_QUICK if given.quick else LARGE
    rounds, seconds = QUICK if given.quick else (ROUNDS, ROUND_SECONDS)
    effort = Effort(size, SMALL, WRITTEN, given.rounds or rounds, given.seconds or seconds)
    wanted = given.only.split(",") if given.only else list(PARTS)
    found: list[Bar] = []
    with prepared(given.directory, (SMALL, WRITTEN, size)) as site:
        growth_data.forget(site, [each.account_id for each in site.sets.values()])
        for part in wanted:
            growth_data.settle(site)  # or the vacuum that one part is due would come in the middle of the next one
            for bar in PARTS[part](site, effort):
                found.append(bar)
                if not given.json:
                    sys.stdout.write("  ".join(bar.row()) + "\n")
                    sys.stdout.flush()
    return report(found, as_json=given.json)


def report(found: list[Bar], *, as_json: bool) -> int:
    """Print the table, or the same as JSON."""
    found.sort(key=lambda bar: bar.number)
    if as_json:
        names = ("number", "work", "base", "other", "ratio", "spread", "bar", "verdict")
        sys.stdout.write(json.dumps([dict(zip(names, bar.row(), strict=True)) for bar in found], indent=2) + "\n")
    else:
        table = Table("#", "work", "base", "product", "ratio", "spread", "bar", "")
        for bar in found:
            table.add_row(*bar.row())
        Console(width=140).print(table)
    return 0 if all(bar.is_met for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main())
