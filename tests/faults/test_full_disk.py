"""The disk of the embedded database is full for a while. For longer: see `full_disk`."""

from pathlib import Path

from tests.faults.full_disk import fill_up
from tests.faults.support_disk import NEEDED

pytestmark = NEEDED


def test_full_disk(tmp_path: Path) -> None:
    """What needs no room is answered as ever, what does is refused at once, and nothing acknowledged is lost.

    PostgreSQL ends when there is none for its log either. It is started until it can go on, which is soon after there
    is room again, without anybody having to see to it.
    """
    result = fill_up(tmp_path, 0)
    assert {each.status for each in result.reads} == {200}
    refused = [each for each in result.writes if each.status == 503]
    assert len(refused) > len(result.writes) / 2
    # The machine may be busy with other things: what is refused must not take longer than what is done.
    assert max(each.seconds for each in refused) < 1 + max(each.seconds for each in result.reads)
    assert result.starts > 5
    assert result.well_after_seconds < 15
