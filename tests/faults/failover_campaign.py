"""The database fails over, again and again, under a service that goes on: `python -m tests.faults.failover_campaign`.

Each round the server that takes writes is killed, hangs or is ended, and the one that follows takes its place. At the
end everything that was acknowledged is looked for.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from tests.faults.support import serving, until
from tests.faults.support_failover import Pair, pair
from tests.faults.support_load import Load, loaded
from tests.support.keys import TEXT
from tests.torture.history import History, Outcome

# How long it takes before the other one takes its place. That a server hangs is not known before others have waited.
_PAUSES_SECONDS = {"killed": (0.0, 0.5), "hangs": (9.0, 11.0), "stopped": (0.0, 0.5)}


class End(StrEnum):
    """How the server that takes writes goes."""

    KILLED = "killed"
    HANGS = "hangs"
    STOPPED = "stopped"


class World(Struct, frozen=True):
    """A service under load, and the two servers of its database."""

    servers: Pair
    load: Load

    def fail_over(self, end: End, pause_seconds: float) -> float:
        """Let the server that takes writes go and the other one take its place.

        Answers the seconds from when that one took writes to when the service did.
        """
        old = self.servers.primary
        match end:
            case End.KILLED:
                old.signal(signal.SIGKILL)
            case End.HANGS:
                old.signal(signal.SIGSTOP)
            case End.STOPPED:
                old.ask_to_end()
        gone_at = time.monotonic()
        until(lambda: time.monotonic() - gone_at >= pause_seconds)
        return self.load.watch.well_after(self.servers.promote())


@contextmanager
def world(directory: Path) -> Generator[World]:
    """A service under load whose database has two servers, of which neither knows more than the other."""
    with pair() as servers:
        url = servers.database()
        servers.join()
        given = {"CUSTOMARY_SECRET_KEYS": TEXT}
        with (
            serving(directory / "none", "--database-url", url, "--workers", "2", given=given) as service,
            loaded(service, url, directory) as load,
        ):
            yield World(servers, load)


def main(arguments: Sequence[str]) -> None:
    """Fail over so many times; what each round took, and what became of all that was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.failover_campaign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how many times")
    parser.add_argument("--seed", type=int, default=None, help="the choices of an earlier campaign")
    asked = parser.parse_args(arguments)
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)  # noqa: S311 - it chooses what to do, and guards nothing
    say(f"seed {seed}")
    took: dict[End, list[float]] = {end: [] for end in End}
    with tempfile.TemporaryDirectory(prefix="customary-failover-") as directory, world(Path(directory)) as here:
        for number in range(1, asked.rounds + 1):
            end = chance.choice(list(End))
            took[end].append(here.fail_over(end, chance.uniform(*_PAUSES_SECONDS[end])))
            say(f"round {number}: {end}, well {took[end][-1]:.2f} s after the other one took writes")
            here.servers.join()
        history = here.load.check()
    for end, seconds in took.items():
        if seconds:
            median = sorted(seconds)[len(seconds) // 2]
            say(f"{end}: {len(seconds)} times; well after {median:.2f} s (median), {max(seconds):.2f} s (longest)")
    say(summary(history))


def summary(history: History) -> str:
    """How much was asked, and that all of it is as it should be."""
    writes = [name for name, attempt in history.attempts.items() if attempt.kind.is_write]
    outcomes = Counter(history.answers[name].outcome for name in writes)
    acknowledged, unknown = outcomes[Outcome.OK], outcomes[Outcome.INFO]
    return (
        f"{len(writes)} writes, of which {acknowledged} were acknowledged and {unknown} were not answered for certain:"
        " none that was acknowledged is lost, and none was done twice."
    )


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
