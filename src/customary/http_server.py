"""Granian with worker processes, but for how it replaces those that die."""

import time
from collections import Counter
from typing import Any

import structlog
from granian.server.mp import MPServer

# A worker that is killed now and then is replaced however often that is. One that never gets anywhere is given up.
_MOST_SHORT_LIVES, _SHORT_LIFE_SECONDS = 50, 1.0

_log = structlog.get_logger("customary.http_server")


class HttpServer(MPServer):
    """Granian's own loop ends the whole server as soon as the same worker dies twice within seconds.

    Two requests that kill the process which answers them would be enough for that. It can also miss a worker that dies
    in the very moment in which it has looked who did.
    """

    interrupt_children: list[int]

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:  # noqa: ANN401 - as Granian has them
        """Wait for what happens to workers, until it is time to end."""
        began = time.monotonic()
        births: dict[int, float] = {}
        short_lives: Counter[int] = Counter()
        while True:
            self.main_loop_interrupt.wait()
            self.main_loop_interrupt.clear()  # before looking: what happens from here on will be looked at again
            if self.interrupt_signal:
                return
            for worker in self._dead():
                is_short = time.monotonic() - births.get(worker, began) < _SHORT_LIFE_SECONDS
                short_lives[worker] = short_lives[worker] + 1 if is_short else 0
                if short_lives[worker] > _MOST_SHORT_LIVES:
                    _log.error("worker_keeps_dying", worker=worker + 1, times=short_lives[worker])
                    return
                births[worker] = time.monotonic()
                self._respawn_workers([worker], spawn_target, target_loader)  # pyright: ignore[reportUnknownMemberType]
            if self.reload_signal:
                self._reload(spawn_target, target_loader)  # pyright: ignore[reportUnknownMemberType]

    def _dead(self) -> list[int]:
        """The workers that have died since this was asked last, each once."""
        dead: set[int] = set()
        while self.interrupt_children:
            dead.add(self.interrupt_children.pop())
        return sorted(dead)
