"""What is compared, running: where each side answers, under which paths, and with which headers."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from msgspec import Struct
from tests.faults.support import free_port

from bench.peers import installation, loading
from bench.reads import NEWEST
from bench.site import Site
from customary.settings import PREFIX, Settings

_START_SECONDS, _END_SECONDS = 60.0, 20.0


class Side(Struct, frozen=True):
    """One of them: its name, the URL in front of `/customers`, and for each data set who asks."""

    name: str
    url: str
    authorizations: Mapping[int, str]

    def headers(self, size: int) -> list[tuple[str, str]]:
        """What every request says."""
        return [("Authorization", self.authorizations[size]), ("Sequence-Version", NEWEST)]

    def get(self, size: int, path: str) -> httpx.Response:
        """One answer, outside any measurement."""
        return httpx.get(f"{self.url}{path}", headers=dict(self.headers(size)), trust_env=False, timeout=30)


def product(site: Site) -> Side:
    """The service itself."""
    return Side("product", f"{site.service.url}/api", site.authorizations)


@contextmanager
def fastapi(site: Site, python: Path) -> Generator[Side]:
    """The FastAPI service in one process, in a schema of its own beside the product's, with the same customers."""
    port = free_port()
    command = [str(python), "-m", "uvicorn", "bench.peers.fastapi_service.app:app", "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    given = {"PEER_DATABASE_URL": site.owner_url, "PEER_POOL_SIZE": str(Settings().pool_size)}
    with _running("fastapi", [*command, *options], f"http://127.0.0.1:{port}/ready", given):
        yield Side("FastAPI + SQLAlchemy", f"http://127.0.0.1:{port}/api", loading.load(site.owner_url, site.sets))


@contextmanager
def prism(site: Site, program: Path) -> Generator[Side]:
    """A mock of the published document, as one starts it; it answers examples, whoever asks."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(program), "mock", "--host", "127.0.0.1", "--port", str(port), str(installation.DOCUMENT)]
    side = Side("Prism mock", url, site.authorizations)
    with _running("prism", command, f"{url}/customers", {}, dict(side.headers(next(iter(site.sets))))):
        yield side


@contextmanager
def _running(
    name: str, command: Sequence[str], url: str, given: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Generator[None]:
    """This program, for the length of the block, once it answers at the URL. What it prints is in a file."""
    log = installation.BUILD / f"{name}.log"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith((PREFIX, "PG"))}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            cwd=installation.ROOT,
            env={**inherited, **given},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _await(process, url, headers or {}, log)
            yield
        finally:
            _end(process)


def _await(process: subprocess.Popen[bytes], url: str, headers: Mapping[str, str], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, headers=headers, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    message = f"Nothing answers at {url}. See {log}."
    raise SystemExit(message)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
