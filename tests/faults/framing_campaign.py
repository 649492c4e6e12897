"""Thousands of seeded mutations of the framing cases against the real server, each on a connection of its own.

    python -m tests.faults.framing_campaign --mutations 5000 --seed 7

What a mutation has to come to is not known, but what never may: an answer of 500 or above, a connection that does not
end, bytes that are no answer, and a server that is gone or answers others wrongly afterwards. Ends with 1 and the
seed and number of each mutation that did; `--only` runs one of them again and prints what was sent.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from tests.faults.framing import Case, Outcome, Parts, exchange
from tests.faults.framing_table import cases
from tests.faults.support import Key, Service, new_data_dir, serving, succeeded

_AT_ONCE = 8
_MOST_CHANGES = 4
_LONGEST_BYTES = 20_000  # of what is mutated: the long cases are about their length alone
# What parsers look for, and what they trip over.
_PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"-1",
    b"\xff",
    b"%00",
    b"/../",
    b"0\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: other.example\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"GET / HTTP/1.1\r\n",
)


def mutated(base: list[Case], seed: int, number: int) -> Case:
    """The mutation of this number: always the same for one seed."""
    random = Random(f"{seed}/{number}")  # noqa: S311 - it chooses faults, and guards nothing
    case = random.choice(base)
    sent = bytearray(case.sent)
    for _ in range(random.randint(1, _MOST_CHANGES)):
        _change(sent, random, base)
    return Case(name=f"{case.name}, mutation {number}", sent=bytes(sent))


def _change(sent: bytearray, random: Random, base: list[Case]) -> None:
    at = random.randint(0, len(sent))
    end = min(len(sent), at + random.choice((1, 1, 2, 8, 64)))
    match random.randrange(6):
        case 0 if sent:
            sent[min(at, len(sent) - 1)] ^= 1 << random.randrange(8)
        case 1:
            del sent[at:end]
        case 2:
            sent[at:at] = random.choice(_PIECES)
        case 3:
            sent[at:end] = random.choice(_PIECES)
        case 4:
            sent[at:at] = sent[at:end] * random.randint(1, 3)
        case _:
            other = random.choice(base).sent
            sent[at:end] = other[random.randint(0, len(other)) :][:200]


def faults(outcome: Outcome) -> Iterator[str]:
    """What may never come of any bytes."""
    if outcome.is_hung:
        yield "the connection did not end"
    if outcome.rest:
        yield f"no answer: {outcome.rest[:80]!r}"
    for answer in outcome.own:
        if answer.status >= 500:
            yield f"answered {answer.status}"
        if answer.request_id.startswith(b"sentinel-"):
            yield "an answer to another connection's request"


def campaign(
    port: int, key: Key, mutations: int, seed: int, *, is_patient: bool = True
) -> tuple[Counter[str], list[str]]:
    """How often each first answer came, and what should not have come.

    With `is_patient` one connection in ten is left open, for the server to end it.
    """
    base = _base(key)
    seen: Counter[str] = Counter()
    found: list[str] = []

    def run(number: int) -> tuple[Case, Outcome]:
        case = mutated(base, seed, number)
        return case, exchange(port, case, number % 100_000, is_ended=not is_patient or number % 10 > 0)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for case, outcome in threads.map(run, range(mutations)):
            seen[str(outcome.own[0].status) if outcome.own else "closed"] += 1
            found.extend(f"{case.name}: {fault}" for fault in faults(outcome))
    return seen, found


def _base(key: Key) -> list[Case]:
    """What is mutated. An answer to HEAD has a length and no body, so only whoever knows the verb can read it."""
    return [case for case in cases(Parts(*key.auth)) if len(case.sent) < _LONGEST_BYTES and not case.is_head]


def unlimited_key(data_dir: Path) -> Key:
    """A key of the first account that no rate limit stops."""
    printed = succeeded(
        "keys", "create", "--account", "default", "--requests-per-minute", "1000000", "--data-dir", data_dir, "--json"
    )
    made = json.loads(printed)
    return Key(made["clientId"], made["clientSecret"])


def _run(service: Service, key: Key, mutations: int, seed: int) -> int:
    processes, began = service.workers(), time.monotonic()
    seen, found = campaign(service.port, key, mutations, seed)
    seconds = time.monotonic() - began
    if service.workers() != processes:
        found.append("a worker process died")
    if not service.is_ready():
        found.append("the service is not ready any more")
    _say(f"{mutations:,} mutations with seed {seed} in {seconds:.1f} s; first answers: {dict(seen.most_common())}")
    _say("\n".join(found) or "no answer of 500 or above, no connection without an end, no process lost")
    return 1 if found else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    """Run a campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    given = parser.parse_args()
    with new_data_dir() as data_dir, serving(data_dir, "--no-worker") as service:
        key = unlimited_key(data_dir)
        if given.only is None:
            return _run(service, key, given.mutations, given.seed)
        case = mutated(_base(key), given.seed, given.only)
        _say(f"{case.numbered(given.only)!r}\n{exchange(service.port, case, given.only)}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
