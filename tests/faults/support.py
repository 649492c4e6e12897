"""The real program in processes of its own, over real sockets: started, asked, and ended by its process id."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from msgspec import Struct
from tests.support import canaries, measured

from customary.storage import embedded
from customary.storage.embedded_processes import database_user, of_cluster

PROGRAM = (sys.executable, "-m", "customary.cli")
# What a developer's shell has set must not change what a test starts.
_INHERITED = {name: value for name, value in os.environ.items() if not name.startswith(("CUSTOMARY_", "PG"))}


def until(condition: Callable[[], Any], timeout_seconds: float = 30) -> Any:  # noqa: ANN401 - whatever the condition returns
    """Poll until the condition holds; what it returned."""
    deadline = time.monotonic() + timeout_seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program that a test starts."""
    return {**_INHERITED, "COLUMNS": "200", "NO_COLOR": "1", **(given or {})}


class Ran(Struct, frozen=True):
    """How a command ended."""

    status: int
    output: str
    error: str


def customary(*arguments: str | Path, given: Mapping[str, str] | None = None, timeout_seconds: float = 60) -> Ran:
    """Run one command to its end."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(given),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    logged = [line for line in done.stderr.splitlines() if line.startswith("{")]
    canaries.WATCH.take("the log of a command", "\n".join(logged))
    return Ran(done.returncode, done.stdout, done.stderr)


def succeeded(*arguments: str | Path, given: Mapping[str, str] | None = None) -> str:
    """What a command that must succeed printed."""
    ran = customary(*arguments, given=given)
    assert (ran.status, ran.error) == (0, ""), ran
    return ran.output


def refused(*arguments: str | Path, given: Mapping[str, str] | None = None) -> str:
    """The one sentence, or few, that a command says which must fail: on one line, with exit code 1."""
    ran = customary(*arguments, given=given)
    lines = [line for line in ran.error.splitlines() if not line.startswith("{")]
    assert (ran.status, ran.output, len(lines)) == (1, "", 1), ran
    assert lines[0].startswith("customary: ")
    return lines[0].removeprefix("customary: ")


class Key(Struct, frozen=True):
    """An API key."""

    client_id: str
    secret: str

    @property
    def auth(self) -> tuple[str, str]:
        """The key as an HTTP client takes it."""
        return self.client_id, self.secret


class Service:
    """A `customary serve` in a process of its own."""

    def __init__(
        self, data_dir: Path, port: int, options: tuple[str, ...], given: Mapping[str, str], log: Path | None = None
    ) -> None:
        self.data_dir, self.port, self.url = data_dir, port, f"http://127.0.0.1:{port}"
        self._files: list[IO[bytes]] = [
            tempfile.NamedTemporaryFile(dir=data_dir.parent, suffix=suffix, delete=False)  # noqa: SIM115 - closed in close
            for suffix in (".out", ".err")
        ]
        if log is not None:
            self._files.append(log.open("ab"))
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", *options],
            env=environment(given),
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[-1],
            start_new_session=True,
        )
        self._seen: set[int] = set()

    @property
    def output(self) -> str:
        """What it printed so far."""
        return Path(self._files[0].name).read_text(encoding="utf-8")

    @property
    def error(self) -> str:
        """What it logged so far."""
        return Path(self._files[1].name).read_text(encoding="utf-8")

    @property
    def key(self) -> Key:
        """The key that the first start printed."""
        found = re.search(r"client id: +(\S+)\n *client secret: (\S+)", self.output)
        assert found, self.output
        return Key(found.group(1), found.group(2))

    def log(self) -> list[dict[str, Any]]:
        """What it logged so far: one JSON object on each line."""
        return [json.loads(line) for line in self.error.splitlines()]

    def await_ready(self, timeout_seconds: float = 60) -> "Service":
        """Wait until it has printed its address, with all that it prints then."""
        until(self._is_announced, timeout_seconds)
        self.workers()
        return self

    def _is_announced(self) -> bool:
        assert self.process.poll() is None, self.error
        printed = self.output
        return f"answers at {self.url}" in printed and bool(
            re.search(r"^(  curl|For another key:) .*\n", printed, re.MULTILINE)
        )

    def is_ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        return self.status("/readyz") == 200

    def status(self, path: str) -> int | None:
        """The status of an answer, None without one."""
        try:
            return httpx.get(f"{self.url}{path}", timeout=10, trust_env=False).status_code
        except httpx.TransportError:
            return None

    @contextmanager
    def client(self, key: Key | None = None) -> Generator[httpx.Client]:
        """A client of the API with this key, by default the one that the first start printed."""
        auth = (key or self.key).auth
        with httpx.Client(base_url=f"{self.url}/api", auth=auth, timeout=15, trust_env=False) as client:
            yield client

    def workers(self) -> set[int]:
        """The ids of the processes that answer requests."""
        found = {pid for pid in _children(self.process.pid) if _name(pid) not in {"postgres", "initdb"}}
        self._seen |= found
        return found - self.background_workers()

    def background_workers(self) -> set[int]:
        """The ids of the processes that work in the background."""
        return {pid for pid in _children(self.process.pid) if b"worker" in _arguments(pid)}

    def signal(self, number: int) -> int:
        """Send it a signal; the exit status that follows."""
        self.workers()
        measured.search(canaries.WATCH, self.process.pid)
        self.process.send_signal(number)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it without a warning."""
        self.signal(signal.SIGKILL)

    def workers_left(self) -> set[int]:
        """Of the worker processes that were ever seen, those that live."""
        return {pid for pid in self._seen if is_alive(pid)}

    def close(self) -> None:
        """End what is left of it."""
        measured.search(canaries.WATCH, self.process.pid)
        if self.process.poll() is None:
            self.workers()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for pid in self.workers_left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for file in self._files:
            file.close()
        canaries.WATCH.read(Path(self._files[1].name))


def start(
    data_dir: Path,
    *options: str,
    port: int | None = None,
    given: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Service:
    """Start the service on a free port; with the embedded database in `data_dir` unless the options name another."""
    port = port or free_port()
    own = () if "--database-url" in options else ("--data-dir", str(data_dir))
    return Service(data_dir, port, ("--port", str(port), *own, *options), given or {}, log)


@contextmanager
def serving(
    data_dir: Path, *options: str, port: int | None = None, given: Mapping[str, str] | None = None
) -> Generator[Service]:
    """A service that is ready, and ended at the end."""
    service = start(data_dir, *options, port=port, given=given)
    try:
        yield service.await_ready()
    finally:
        service.close()


@contextmanager
def new_data_dir() -> Generator[Path]:
    """A data directory that does not exist yet, where the database's user can enter; nothing runs in it afterwards."""
    with tempfile.TemporaryDirectory(prefix="customary-test-") as parent:
        Path(parent).chmod(0o755)
        yield Path(parent) / "data"
        until(lambda: not database_processes(Path(parent) / "data"))
        canaries.WATCH.read(Path(parent))


@pytest.fixture
def data_dir() -> Generator[Path]:
    """A data directory for one test."""
    with new_data_dir() as made:
        yield made


def database_processes(data_dir: Path) -> frozenset[int]:
    """The ids of the processes of the embedded database."""
    cluster = embedded.describe(data_dir).cluster
    return of_cluster(cluster, database_user(cluster)) if cluster else frozenset()


def postmaster_now(data_dir: Path) -> int | None:
    """The id of the embedded database's main process; None while it is being started again."""
    return embedded.describe(data_dir).postmaster_pid


def postmaster(data_dir: Path) -> int:
    """The id of the embedded database's main process, which has to be there."""
    pid = postmaster_now(data_dir)
    assert pid is not None
    return pid


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> set[int]:
    """The ids of a process's living children."""
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found |= {int(child) for child in (task / "children").read_text(encoding="utf-8").split()}
    return {child for child in found if is_alive(child)}


def _arguments(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
