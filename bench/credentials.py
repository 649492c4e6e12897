"""What is promised of credentials, measured: timing, costs, the exactness of limits, and a change of keys under way.

    python -m bench.credentials [--only timing costs limit memory reencryption] [--samples 100000] [--secrets 100000]

Ends with exit code 1 if a figure is beyond its bar. The limit takes a minute, the timing a few; other work on the same
machine makes single figures larger, and differences hardly.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

import structlog
from tests.support import cluster as clusters
from tests.support.cluster import Database, Databases

from bench import credential_reencryption, credential_server, credential_timing
from bench.findings import Finding, report

PORT = 8730


async def main() -> int:
    """Measure and print; the exit code says whether all is within its bar."""
    parser = argparse.ArgumentParser(description="Is what is promised of credentials kept?")
    parser.add_argument("--samples", type=int, default=100_000, help="how many of each kind the timing takes")
    parser.add_argument("--secrets", type=int, default=100_000, help="how many secrets get another key")
    parser.add_argument("--rounds", type=int, default=6, help="how many rounds of each kind for remembering")
    parser.add_argument("--seconds", type=int, default=5, help="how long such a round is")
    sections: dict[str, Callable[[Database], Awaitable[list[Finding]]]] = {
        "costs": credential_timing.costs,
        "timing": lambda database: credential_timing.refusals(database, given.samples),
        "limit": lambda database: credential_server.limit(database, PORT),
        "memory": lambda database: credential_server.remembering(
            database, PORT, rounds=given.rounds, seconds=given.seconds
        ),
        "reencryption": lambda database: credential_reencryption.reencryption(database, secrets=given.secrets),
    }
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections), help="what to measure")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: list[Finding] = []
    with clusters.running() as cluster:
        async with Databases.of(cluster) as databases:
            for name in given.only:
                sys.stdout.write(f"{name}\n")
                async with databases.fresh() as database:
                    findings = await sections[name](database)
                report(findings)
                found += findings
    beyond = [finding for finding in found if not finding.is_within]
    sys.stdout.write(f"{len(beyond)} beyond the bar\n")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
