"""How many connections a worker holds: as many as it may open files for, with some left for everything else."""

import resource

import pytest

from customary.server import MOST_CONNECTIONS, SPARE_FILES, allow_files, most_connections

WANTED = MOST_CONNECTIONS + SPARE_FILES


class Limits:
    """The limits of a process that exists only here."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = soft, hard

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, limits: tuple[int, int]) -> None:
        soft, hard = limits
        assert hard == self.now[1]
        assert hard == resource.RLIM_INFINITY or soft <= hard
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "after"),
    [
        (1024, 1_048_576, MOST_CONNECTIONS, WANTED),
        (1024, resource.RLIM_INFINITY, MOST_CONNECTIONS, WANTED),
        (1024, 4096, 4096 - SPARE_FILES, 4096),
        (256, 400, 200, 400),
        (20_000, 20_000, MOST_CONNECTIONS, 20_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, MOST_CONNECTIONS, resource.RLIM_INFINITY),
    ],
)
def test_a_worker_may_open_more_files_than_it_holds_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, connections: int, after: int
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    assert most_connections() == connections
    allow_files()
    assert limits.now == (after, hard)
    assert after == resource.RLIM_INFINITY or most_connections() < after
