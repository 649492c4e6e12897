"""Kills the service and its database, again and again, and then looks whether anything is lost, doubled or wrong.

`python -m tests.torture [--kills 1000] [--seed 1] [--json]`. For each kill of the server there are three tenths of one
of the database, and a hundred racing requests and as many contended writes. What a seed repeats is who asks for what,
and what happens to whom in which order; how the processes take turns is up to the machine.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tests.torture import postgresql
from tests.torture.campaign import Campaign, Report, Round
from tests.torture.migrations import Migrations
from tests.torture.plans import DATABASE_KILLS, REQUESTS, races, usual
from tests.torture.progress import Teller, telling

_SEED = 20240730
_MIGRATIONS = 0.02


def _rounds(kills: int, report: Report) -> Iterator[Round]:
    """The usual ones, and then as many as it takes for enough races."""
    yield from usual(kills)
    while True:
        racing, contended = (kills * REQUESTS - report.done[kind] for kind in ("races", "contended"))
        if max(racing, contended) <= 0:
            return
        yield races(racing, contended)


def _torment(kills: int, report: Report, directory: Path, teller: Teller) -> None:
    """Everything, with what was found in the report."""
    Campaign(directory, report, teller).run(_rounds(kills, report))
    with postgresql.running() as server:
        migrations = Migrations(server, report.seed)
        migrations.run(max(1, round(kills * _MIGRATIONS)))
    report.kills += migrations.kills
    report.problems += migrations.problems
    missing = {
        "the server": kills - report.server_kills,
        "the database": kills * DATABASE_KILLS - report.database_kills,
    }
    report.problems += [f"there were not enough kills of {whom}" for whom, count in missing.items() if count > 0]


def _commit() -> str:
    """The commit that is looked at, as far as somebody knows."""
    found = subprocess.run(
        ["git", "--no-optional-locks", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def _run() -> int:
    parser = argparse.ArgumentParser(description="Kill the service and its database, and look for what is wrong then.")
    parser.add_argument("--kills", type=int, default=1000, help="how often to kill the server at least")
    parser.add_argument("--seed", type=int, default=_SEED, help="the same seed does the same to the same")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and everything else beside it")
    options = parser.parse_args()
    # However it is told to end, and in whatever shell: nothing that was started here is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    report, began = Report(seed=options.seed, commit=_commit()), time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="customary-torture-"))
    with telling(round(options.kills * (1 + DATABASE_KILLS)), to_errors=options.json) as teller:
        teller.say(f"seed {report.seed}, commit {report.commit}; journals and logs are in {directory}")
        _torment(options.kills, report, directory, teller)
        report.seconds = round(time.monotonic() - began, 1)
        for line in report.lines():
            teller.say(line)
        verdict = "FAILED" if report.problems else "nothing found"
        teller.say(f"{report.seconds:.0f} s, seed {report.seed}: {verdict}")
    if options.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    if not report.problems:
        shutil.rmtree(directory)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(_run())
