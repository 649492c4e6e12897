"""One server of the database is gone and another takes its place. More of it, and other ways: `failover_campaign`."""

from pathlib import Path

from tests.faults.failover_campaign import End, world


def test_another_server_takes_the_place_of_one_that_is_gone(tmp_path: Path) -> None:
    """Writes go on soon after, without a restart, and nothing acknowledged is lost."""
    with world(tmp_path) as here:
        assert here.fail_over(End.KILLED, 0.2) < 5
        here.load.check()
