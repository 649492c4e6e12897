"""The network between the service and its database loses everything for a while. More of it: see `partitions`."""

from pathlib import Path

from tests.faults.partitions import PARTITIONS, world
from tests.faults.support_network import NEEDED

pytestmark = NEEDED

# The first one is long enough for those who wait to be told so while it lasts.
SECONDS = {"both ways, and the database starts anew": 7.0, "on the way back": 2.0}


def test_partitions(tmp_path: Path) -> None:
    """Nobody waits for long, nothing is lost or done twice, and all is well soon after, without a restart."""
    with world(tmp_path) as here:
        results = [here.suffer(each, SECONDS[each.name]) for each in PARTITIONS if each.name in SECONDS]
    for result in results:
        assert set(result.statuses) <= {503}, result
        assert result.well_after_seconds < 5, result
    assert 503 in results[0].statuses
