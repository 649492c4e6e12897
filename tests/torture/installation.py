"""A service and its database, as they are killed and started again: on a PostgreSQL of its own, or the embedded one."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec
from tests.faults.support import Service, database_processes, free_port, is_alive, postmaster_now, start, until
from tests.support.keys import TEXT
from tests.torture.postgresql import Postgresql, kill_all
from tests.torture.proxy import Proxy

from customary.crashpoint import VARIABLE

# An orphan would answer beside the next server, so none may be left for long.
_ORPHAN_SECONDS = 2.0
_RECOVERY_SECONDS = 60.0
# Longer than anything waits for a process that says nothing: its statement, its lock, its open transaction.
_FROZEN_SECONDS = 12.0
_SHORTEST_SILENCE_SECONDS, _LONGEST_SILENCE_SECONDS = 1.0, 10.0
_SPOILT_SECONDS = 2.0


class Fault(StrEnum):
    """What is done to an installation from outside."""

    WORKER = "worker"
    MAIN = "main process"
    FREEZE = "worker stopped"
    BACKEND = "backend"
    POSTMASTER = "postmaster"
    DATABASE = "database"
    RESET = "connections reset"
    HALF_CLOSE = "connections half-closed"
    SILENCE = "database silent"
    BYTEWISE = "byte by byte"
    SLOW = "slow"


OF_SERVER = frozenset({Fault.WORKER, Fault.MAIN})
OF_DATABASE = frozenset({Fault.BACKEND, Fault.POSTMASTER, Fault.DATABASE})


class Own:
    """A PostgreSQL of its own, which is started again by the test; the service reaches it through the proxy, or not."""

    def __init__(self, server: Postgresql, proxy: Proxy) -> None:
        self.owner_url = server.url()
        self.proxy = proxy
        self.is_through_proxy = False
        self._server = server

    def options(self) -> tuple[str, ...]:
        """What `customary serve` is told about it."""
        return ("--database-url", self._server.url(self.proxy.port if self.is_through_proxy else None))

    def processes(self) -> frozenset[int]:
        """All of its processes."""
        return self._server.processes()

    def postmaster(self) -> int:
        """The one that starts the others."""
        return self._server.postmaster()

    def is_ready(self) -> bool:
        """Whether it lives, the postmaster at least."""
        return self._server.is_ready()

    def recover(self) -> None:
        """Start it again."""
        self._server.start()


class Embedded:
    """The database that the service has in its data directory, and starts again itself."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def options(self) -> tuple[str, ...]:
        """What `customary serve` is told about it."""
        return ()

    def processes(self) -> frozenset[int]:
        """All of its processes."""
        return database_processes(self._data_dir)

    def postmaster(self) -> int:
        """The one that starts the others."""
        return until(lambda: postmaster_now(self._data_dir))

    def is_ready(self) -> bool:
        """Whether it lives, the postmaster at least."""
        return postmaster_now(self._data_dir) is not None

    def recover(self) -> None:
        """Somebody else's work."""


class Installation:
    """A service on a port that stays the same, with its database."""

    def __init__(
        self, directory: Path, database: Own | Embedded, seed: int, *, workers: int, data_dir: Path | None = None
    ) -> None:
        """`directory` is for what the service writes; `data_dir` is where the embedded database is."""
        self.port = free_port()
        self.database = database
        self.data_dir = data_dir or directory / "data"
        self.done: Counter[str] = Counter()
        self.slowest_recovery_seconds = 0.0
        self._directory, self._workers = directory, workers
        self._chance = random.Random(f"{seed} faults")  # noqa: S311 - it chooses faults, and guards nothing
        self._service: Service | None = None
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._read = 0

    @property
    def log(self) -> Path:
        """Everything that any service of this installation logged."""
        return self._directory / "server.log"

    @property
    def service(self) -> Service:
        """The one that runs."""
        assert self._service is not None
        return self._service

    def start(self, sites: Mapping[str, int] | None = None) -> None:
        """Start the service; its workers die at the given visit to each of these sites."""
        armed = ",".join(f"{site}:{visit}" for site, visit in (sites or {}).items())
        given = {"CUSTOMARY_SECRET_KEYS": TEXT, **({VARIABLE: armed} if armed else {})}
        options = ("--workers", str(self._workers), "--no-worker", *self.database.options())
        self._service = start(self.data_dir, *options, port=self.port, given=given, log=self.log)
        self._service.await_ready()

    def end(self) -> None:
        """End the service in peace."""
        self._undo_all()
        assert self.service.signal(signal.SIGTERM) == 0, "the service did not end in peace"
        self.service.close()

    def kill_main(self) -> None:
        """Kill the service's main process; all others of it are gone with it, soon."""
        self._undo_all()
        self.service.kill()
        until(lambda: not self.service.workers_left(), _ORPHAN_SECONDS)
        self.service.close()
        self.done[Fault.MAIN] += 1

    def kill_everything(self) -> None:
        """Kill the service and the whole database at one moment, as far as there is one."""
        self._undo_all()
        processes, first = self.database.processes(), self.database.postmaster()
        self.service.workers()
        os.kill(self.service.process.pid, signal.SIGKILL)
        kill_all(processes, first)
        self.service.process.wait(30)
        until(lambda: not self.service.workers_left() and not self.database.processes(), _RECOVERY_SECONDS)
        self.service.close()
        self.done[Fault.MAIN] += 1
        self.done[Fault.DATABASE] += 1
        self.database.recover()

    def suffer(self, fault: Fault) -> None:
        """Do this to it. Of what is over at once it returns when the service is well again."""
        assert self.service.process.poll() is None, "the service has ended by itself"
        if fault is Fault.WORKER:
            self._kill_worker()
        elif fault is Fault.FREEZE:
            self._freeze()
        elif fault in OF_DATABASE:
            self._kill_of_database(fault)
        else:
            self._spoil_connections(fault)

    def _kill_worker(self) -> None:
        """Kill a worker, if there is one at this moment."""
        workers = sorted(self.service.workers())
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(workers), signal.SIGKILL)
                self.done[Fault.WORKER] += 1

    def _freeze(self) -> None:
        victim = self._chance.choice(until(lambda: sorted(self.service.workers())))
        os.kill(victim, signal.SIGSTOP)
        self.done[Fault.FREEZE] += 1

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)

        self._after(_FROZEN_SECONDS, wake)

    def _kill_of_database(self, fault: Fault) -> None:
        first = until(lambda: self.database.is_ready() and self.database.postmaster())
        began = time.monotonic()
        if fault is Fault.BACKEND:
            victim = until(lambda: _backends(self.database.processes()))
            os.kill(self._chance.choice(victim), signal.SIGKILL)
        elif fault is Fault.POSTMASTER:
            os.kill(first, signal.SIGKILL)
            self.database.recover()
        else:
            kill_all(self.database.processes(), first)
            self.database.recover()
        self.done[fault] += 1
        until(lambda: fault is Fault.BACKEND or (self.database.is_ready() and self.database.postmaster() != first))
        until(self.service.is_ready, _RECOVERY_SECONDS)
        self.slowest_recovery_seconds = max(self.slowest_recovery_seconds, time.monotonic() - began)

    def _spoil_connections(self, fault: Fault) -> None:
        assert isinstance(self.database, Own)
        proxy = self.database.proxy
        match fault:
            case Fault.RESET:
                proxy.reset_all()
            case Fault.HALF_CLOSE:
                proxy.half_close_all()
            case Fault.SILENCE:
                proxy.is_silent = True
                pause = self._chance.uniform(_SHORTEST_SILENCE_SECONDS, _LONGEST_SILENCE_SECONDS)
                self._after(pause, lambda: setattr(proxy, "is_silent", False))
            case Fault.BYTEWISE:
                proxy.is_bytewise = True
                self._after(_SPOILT_SECONDS, lambda: setattr(proxy, "is_bytewise", False))
            case _:
                proxy.is_slow = True
                self._after(_SPOILT_SECONDS, lambda: setattr(proxy, "is_slow", False))
        self.done[fault] += 1

    def pass_time(self, seconds: float) -> None:
        """Let what is wrong for a while be so for as long as it is to be."""
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            for each in [each for each in self._later if each[0] <= now]:
                self._later.remove(each)
                each[1]()
            time.sleep(min(0.02, max(0.0, deadline - now)))

    def is_whole(self) -> bool:
        """Whether nothing is wrong that will be put right later."""
        return not self._later

    def _after(self, seconds: float, undo: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, undo))

    def _undo_all(self) -> None:
        for _, undo in self._later:
            undo()
        self._later.clear()

    def count_fired(self) -> None:
        """Note at which sites workers have died since this was called last."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            lines = log.read().rpartition(b"\n")[0]
        self._read += len(lines) + bool(lines)
        for line in lines.split(b"\n"):
            if line.startswith(b'{"event":"crashpoint"'):
                self.done[msgspec.json.decode(line)["site"]] += 1

    def defects(self) -> list[str]:
        """What the service itself calls a defect."""
        with self.log.open("rb") as log:
            return [line.decode().strip() for line in log if b'"request_failed"' in line]

    def close(self) -> None:
        """End what still runs."""
        self._undo_all()
        if self._service is not None:
            self._service.close()


def _backends(processes: frozenset[int]) -> list[int]:
    """Those of the database's processes that serve a client."""
    return sorted(pid for pid in processes if is_alive(pid) and _serves_client(pid))


def _serves_client(pid: int) -> bool:
    """What a PostgreSQL process does is in its command line: `postgres: role database 127.0.0.1(4711) idle`."""
    with contextlib.suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"127.0.0.1(" in title or b" [local] " in title
    return False
