"""Prints the conformance table and writes it to docs/conformance.md: `make conformance`."""

import asyncio
import logging
import sys

import structlog
from tests.conformance.table import EXPECTED, PAGE, examined, page
from tests.support import cluster as clusters
from tests.support.cluster import Databases
from tests.support.published import CONTRACT
from tests.wire.test_openapi_against_published import ADDITIONS


async def main() -> int:
    """Examine, print and write; the exit code is 0 only when every operation conforms."""
    with clusters.running() as cluster:
        async with Databases.of(cluster) as databases, databases.fresh() as database:
            verdicts = await examined(database)
    text = page(verdicts, ADDITIONS)
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0 if len(verdicts) == EXPECTED and all(verdict.is_conformant for verdict in verdicts) else 1


if __name__ == "__main__":
    if not CONTRACT.is_dir():
        sys.exit(f"The published documents are needed and not there: {CONTRACT}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.exit(asyncio.run(main()))
