"""The processes that answer requests are replaced when they die, however often and whenever that is."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.faults.support import data_dir, serving, until

from customary import http_server
from customary.http_server import HttpServer

__all__ = ["data_dir"]

Anything: TypeAlias = Any  # what Granian passes on


class Played(HttpServer):
    """A server whose workers are made up: `then` says what happens while one is replaced."""

    def __init__(self, then: Sequence[tuple[int, ...]]) -> None:
        super().__init__("nothing:nothing", workers=2)
        self.replaced: list[int] = []
        self._then = list(then)

    def die(self, *workers: int) -> None:
        """What Granian does when a process is gone."""
        for worker in workers:
            self.interrupt_children.append(worker)
            self.main_loop_interrupt.set()

    def _respawn_workers(
        self, workers: list[int], spawn_target: Anything, target_loader: Anything, delay: float = 0
    ) -> None:
        self.replaced += workers
        if self._then:
            self.die(*self._then.pop(0))
        else:
            self.interrupt_signal = True
            self.main_loop_interrupt.set()


def test_one_that_dies_again_at_once_is_replaced_again(data_dir: Path) -> None:
    """The only worker is killed as soon as it is there, five times: the service goes on."""
    with serving(data_dir, "--workers", "1", "--no-worker") as service:
        before: set[int] = set()
        for _ in range(5):
            victim = min(until(lambda: service.workers() - before))
            before.add(victim)
            os.kill(victim, signal.SIGKILL)
        until(lambda: service.workers() - before and service.is_ready(), 10)
        assert service.signal(signal.SIGTERM) == 0


def test_one_that_dies_while_another_is_replaced_is_replaced_too() -> None:
    """Nobody is forgotten, and nobody is replaced for two."""
    server = Played([(1,), (0, 1), ()])
    server.die(0)
    server._serve_loop(None, None)
    assert server.replaced == [0, 1, 0, 1]


def test_one_that_only_dies_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop ends by itself, which the command says is a failure."""
    monkeypatch.setattr(http_server, "_MOST_SHORT_LIVES", 5)
    server = Played([(0,)] * 100)
    server.die(0)
    server._serve_loop(None, None)
    assert server.replaced == [0] * 5
    assert not server.interrupt_signal


def test_one_that_gets_somewhere_is_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a matter of how soon it dies, and not of how often."""
    monkeypatch.setattr(http_server, "_MOST_SHORT_LIVES", 5)
    monkeypatch.setattr(http_server, "_SHORT_LIFE_SECONDS", 0.0)
    server = Played([(0,)] * 100)
    server.die(0)
    server._serve_loop(None, None)
    assert server.replaced == [0] * 101
