"""Workers in processes of their own, many of them and cheap: see `worker_server`, which forks them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.support import PROGRAM, environment
from tests.support import canaries
from tests.support.keys import TEXT

from customary.crashpoint import VARIABLE

# The environment of a worker that may reach the loopback interface and read the secrets of the tests.
GIVEN = {
    "CUSTOMARY_WEBHOOK_ALLOW": "127.0.0.0/8,::1/128",
    "CUSTOMARY_SECRET_KEYS": TEXT,
    "CUSTOMARY_POOL_SIZE": "8",
}


class Worker:
    """A worker that runs, or ran. `site` is the crash point where it dies by itself."""

    def __init__(self, pid: int, site: str | None) -> None:
        self.pid = pid
        self.site = site
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL, whoever sent it."""
        return self.ended.done() and self.ended.result() == -signal.SIGKILL

    def signal(self, number: int) -> bool:
        """Send it a signal; whether it still ran. A process that nobody has waited for keeps its id."""
        if self.ended.done():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self.signal(signal.SIGKILL)

    async def end(self, timeout_seconds: float = 30) -> int:
        """Wait until it has ended; its status, negative for a signal."""
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.shield(self.ended)

    async def stop(self) -> int:
        """Let it finish what it does and end."""
        self.signal(signal.SIGTERM)
        return await self.end()


class Workers:
    """Starts workers on one database."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked: list[tuple[str | None, asyncio.Future[Worker]]] = []
        self._running: dict[int, Worker] = {}

    async def start(self, site: str | None = None) -> Worker:
        """A new worker; with a site it dies when it comes there."""
        assert self._process.stdin is not None
        made: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._asked.append((site, made))
        self._process.stdin.write(json.dumps({"site": site}).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(30):
            return await made

    async def listen(self) -> None:
        """Take note of what starts and ends, until the server of workers does."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if "started" in message:
                site, made = self._asked.pop(0)
                worker = Worker(message["started"], site)
                self._running[worker.pid] = worker
                made.set_result(worker)
            else:
                self._running.pop(message["ended"]).ended.set_result(message["status"])

    async def close(self) -> None:
        """Kill all that still run."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


@asynccontextmanager
async def workers(
    database_url: str, log: Path, *, timeout_seconds: float = 15, drain_seconds: float = 10, capacity: int = 64
) -> AsyncGenerator[Workers]:
    """Workers on this database, all of them killed at the end; `log` has what they logged.

    `timeout_seconds` is how long an attempt may take, `drain_seconds` how long a worker that is to end may take.
    """
    program = (sys.executable, str(Path(__file__).with_name("worker_server.py")))
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *program,
            database_url,
            str(timeout_seconds),
            str(drain_seconds),
            str(capacity),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment(GIVEN),
        )
    made = Workers(process)
    listening = asyncio.create_task(made.listen())
    try:
        yield made
    finally:
        await made.close()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        canaries.WATCH.read(log)


@asynccontextmanager
async def commands(database_url: str, sites: Sequence[str | None]) -> AsyncGenerator[list[asyncio.subprocess.Process]]:
    """The real command, once for each of these crash points; None for one that lives."""
    running = [
        await asyncio.create_subprocess_exec(
            # One at a time: what the dead had in flight must leave room in the lanes for those who still live.
            *(*PROGRAM, "worker", "--database-url", database_url, "--concurrency", "1"),
            env=environment({**GIVEN, **({} if site is None else {VARIABLE: site})}),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for site in sites
    ]
    try:
        yield running
    finally:
        for each in running:
            if each.returncode is None:
                each.kill()
            await each.wait()
