"""The service and its database are killed, once in each way; `make torture` does the same a thousand times."""

from pathlib import Path

import pytest
from tests.torture import postgresql
from tests.torture.campaign import Campaign, Report
from tests.torture.installation import OF_DATABASE, OF_SERVER
from tests.torture.migrations import Migrations
from tests.torture.plans import short
from tests.torture.progress import telling
from tests.torture.proxy import Loss

from customary.crashpoint import SERVER_SITES


@pytest.mark.timeout(300)
def test_one_of_each(tmp_path: Path) -> None:
    """At every site, from outside, and of every part of the database: nothing is lost, doubled or out of order."""
    report = Report(seed=1, commit="under test")
    with telling(len(SERVER_SITES), to_errors=True) as teller:
        Campaign(tmp_path, report, teller).run(short())

    assert report.problems == []
    assert report.kills.keys() >= SERVER_SITES | OF_SERVER | OF_DATABASE, report.lines()
    assert sum(report.losses[each] for each in Loss) >= 3
    # The clients got somewhere in between, and what they did was looked at.
    assert report.counts["events"] >= 20, report.lines()
    assert report.counts["replays"] >= 10
    assert report.counts["versions won under contention"] >= 1
    assert report.counts["indexes checked"] > 20


@pytest.mark.timeout(120)
def test_a_killed_migration_is_finished_by_the_next() -> None:
    """Whatever moment it was, and whether the database died with it."""
    with postgresql.running() as server:
        migrations = Migrations(server, seed=1)
        migrations.run(1)
    assert migrations.problems == []
    assert migrations.kills.total() >= 1
