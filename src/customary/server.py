"""Runs the service on one machine: the database first, then the HTTP server over it, and both down together."""

import asyncio
import contextlib
import errno
import http.client
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.util import register_after_fork
from pathlib import Path

import asyncpg
import msgspec
import structlog
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from customary import background, keyring, logs
from customary.api import limits
from customary.connectors.addresses import parse_networks
from customary.connectors.mail_server import mail_server
from customary.domain.account import ApiKey, Scope
from customary.errors import Failure, SetupError
from customary.http_server import HttpServer
from customary.metrics import listener
from customary.operations import doctor
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key
from customary.settings import PREFIX, Settings
from customary.storage import accounts, embedded, schema
from customary.storage.migrate import migrate
from customary.storage.secret_keys import KeyRing, parse

DEFAULT_ACCOUNT = "default"
LOOPBACK = "127.0.0.0/8,::1/128"
PORT_WAIT_SECONDS = 5.0
READY_WAIT_SECONDS = 60.0
MOST_CONNECTIONS = 4096
SPARE_FILES = 256
_POLL_SECONDS = 0.02

_log = structlog.get_logger("customary.server")


class FirstKey(msgspec.Struct, frozen=True):
    """The key of the account that the first start makes, with the secret that is shown once."""

    key: ApiKey
    secret: str


class Urls(msgspec.Struct, frozen=True):
    """Where the database is, for the service and for what only the owner of the tables may do."""

    service: str
    owner: str


@contextmanager
def database(settings: Settings) -> Generator[Urls]:
    """The database with a schema that fits, for as long as a server runs.

    Without a database URL it is the embedded one, which is started and migrated here; with one it must be migrated
    already. Raises `SetupError`.
    """
    if settings.database_url is not None:
        asyncio.run(schema.require_service(settings.database_url))
        asyncio.run(warn_of_settings(settings.database_url))
        yield Urls(settings.database_url, settings.database_url)
        return
    with embedded.start(settings.data_dir, holder="server") as cluster:
        asyncio.run(migrate(cluster.addresses.owner_url))
        yield Urls(cluster.addresses.service_url, cluster.addresses.owner_url)


async def warn_of_settings(url: str) -> None:
    """Log every setting of this database that endangers what is stored. Whoever tries things out may want it so."""
    async with schema.connection(url) as connection:
        for finding in await doctor.settings(connection):
            if finding.verdict is doctor.Verdict.PROBLEM:
                _log.warning("database_endangered", kind=finding.topic, found=finding.found, advice=finding.advice)


@contextmanager
def metered(settings: Settings) -> Generator[Path]:
    """The file in which the processes of a server measure, read at a port where one is set. Raises `SetupError`."""
    if settings.metrics_port is not None and settings.metrics_port == settings.port:
        message = f"The port {settings.port} is that of the API. Give another one with --metrics-port."
        raise SetupError(message)
    with listener.offered(settings.metrics_host, settings.metrics_port) as path:
        yield path


@contextmanager
def owner_url(settings: Settings) -> Generator[str]:
    """The URL of the tables' owner for one command, whether a server runs on the same database or not.

    An embedded database that was not used yet gets its schema here. Raises `SetupError`.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    with embedded.running(settings.data_dir) as addresses:
        if asyncio.run(schema.current(addresses.owner_url)) is None:
            asyncio.run(migrate(addresses.owner_url))
        yield addresses.owner_url


@contextmanager
def service_url(settings: Settings) -> Generator[str]:
    """The URL of the service's role for one command beside a server, or for a worker. Raises `SetupError`."""
    if settings.database_url is not None:
        asyncio.run(schema.require_service(settings.database_url))
        yield settings.database_url
        return
    with embedded.running(settings.data_dir) as addresses:
        asyncio.run(schema.require_service(addresses.service_url))
        yield addresses.service_url


async def first_key(url: str, ring: KeyRing) -> FirstKey | None:
    """On the first start, the account `default` with a key; None where there is an account already."""
    try:
        async with schema.connection(url) as connection, connection.transaction():
            if await accounts.all_accounts(connection):
                return None
            account = await create_account(connection, DEFAULT_ACCOUNT)
            key, secret = await create_key(connection, account.id, ring=ring, name="first key", scopes=frozenset(Scope))
            return FirstKey(key, secret)
    except (Failure, asyncpg.InsufficientPrivilegeError):
        return None  # another server was first, or this role may not: `customary accounts create` is there for both


def run(settings: Settings, *, on_ready: Callable[[str, FirstKey | None], None], has_worker: bool = True) -> None:
    """Serve until a signal ends it. `on_ready` is called with the address once the service really answers.

    Without `has_worker` what changes is delivered by nobody until a `customary worker` runs somewhere.

    Raises `SetupError` where it cannot start.
    """
    logs.configure()
    # These refuse what is malformed, before anything is started.
    mail_server(settings.smtp_url, settings.mail_from)
    parse_networks(settings.webhook_allow or "")
    parse_networks(settings.trusted_proxies or "", f"{PREFIX}TRUSTED_PROXIES")
    keyring.find(settings)
    settings = msgspec.structs.replace(settings, host=_numeric(settings.host))
    address = f"http://{'[' + settings.host + ']' if ':' in settings.host else settings.host}:{settings.port}"
    signal.signal(signal.SIGTERM, _leave)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _take_port(settings),
        metered(settings) as metrics_file,
        database(settings) as urls,
        _shared_limits() as limits_file,
    ):
        keys = os.environ[f"{PREFIX}SECRET_KEYS"] = keyring.prepare(settings, urls.service)
        os.environ.pop(f"{PREFIX}SECRET_KEYS_FILE", None)
        first = asyncio.run(first_key(urls.owner, parse(keys)))
        os.environ[f"{PREFIX}DATABASE_URL"] = urls.service
        os.environ[f"{PREFIX}POOL_SIZE"] = str(settings.pool_size)
        os.environ[f"{PREFIX}LIMITS_FILE"] = str(limits_file)
        os.environ[f"{PREFIX}METRICS_FILE"] = str(metrics_file)
        os.environ.pop(f"{PREFIX}METRICS_PORT", None)  # what works in the background would want the same
        if settings.database_url is None and settings.webhook_allow is None:
            os.environ[f"{PREFIX}WEBHOOK_ALLOW"] = LOOPBACK  # so that trying it out works
        http_server = make_http_server(settings)
        register_after_fork(http_server, _begin_worker)
        threading.Thread(
            target=_announce, args=(settings, http_server, lambda: on_ready(address, first)), daemon=True
        ).start()
        with background.worker() if has_worker else contextlib.nullcontext():
            http_server.serve()
        if not http_server.interrupt_signal:
            message = "The processes that answer requests keep failing; the log above says where."
            raise SetupError(message)


def make_http_server(settings: Settings, application: str = "customary.app:create") -> HttpServer:
    """Granian with the limits that it leaves open by default.

    A worker that dies is replaced instead of ending the server, one that does not stop is killed, and headers are
    bounded in time; in size as well, behind the limits of `api.head`, which answer what is only a little too large.
    `application` names the function that makes what a worker process serves.
    """
    made = HttpServer(
        application,
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=5_000, max_buffer_size=65_536),
        websockets=False,
        backpressure=most_connections(),
        workers=settings.workers,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        # Whoever has sent a request has its answer by then: see `api.gateway`. What is cut off are unfinished bodies.
        workers_kill_timeout=8,
        log_dictconfig=logs.standard_library(),
    )
    # It takes the end of its terminal for a wish to reload and runs on unseen; only `nohup` shall mean that.
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    made.on_startup(
        lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.getsignal(signal.SIGTERM))
    )
    return made


def most_connections() -> int:
    """How many connections each worker holds at once, those included that nobody says anything on.

    A worker that runs out of file descriptors could not even reach its database, so there are always some left.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(hard // 2, hard - SPARE_FILES))


def allow_files() -> None:
    """Let this process open as many files as its connections need: the usual limit is a quarter of that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def _begin_worker(_http_server: HttpServer) -> None:
    """The first thing in a worker process, which is told to stop by its parent alone.

    In a session of its own it is spared what a terminal sends to all; and until it has handlers of its own a signal
    ends it: those that it inherits would lose one, and the parent would wait for it in vain.
    """
    os.setsid()
    allow_files()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _shared_limits() -> Generator[Path]:
    """The file in which the worker processes count requests together."""
    path = limits.shared_file()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _leave(_signal: int, _frame: object) -> None:
    sys.exit(128 + signal.SIGTERM)


def _take_port(settings: Settings) -> socket.socket:
    """Wait a moment for an earlier server's port, then refuse one that is taken. Keep what it returns while serving.

    The HTTP server shares its port among its processes, so it would share it with another server as well, and each
    would answer half of the requests. The name that is taken here also keeps two starts at one moment apart.
    Raises `SetupError`.
    """
    deadline = time.monotonic() + PORT_WAIT_SECONDS
    while True:
        guard = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":  # where a name that begins with a zero is no file and goes with its process
                guard.bind(f"\0customary {settings.host} {settings.port}")
            _probe(settings)
        except OSError as error:
            guard.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                message = (
                    f"The address {settings.host}, port {settings.port}, cannot be used: {error.strerror}."
                    " Stop what is there, or give another one with --host or --port."
                )
                raise SetupError(message) from None
        else:
            return guard
        time.sleep(_POLL_SECONDS)


def _numeric(host: str) -> str:
    """The address of this name, IPv4 unless it is an IPv6 address: the HTTP server takes no names."""
    try:
        return host if ":" in host else socket.gethostbyname(host)
    except OSError as error:
        message = f"The host {host} cannot be listened on: {error.strerror}. Give another one with --host."
        raise SetupError(message) from None


def _probe(settings: Settings) -> None:
    """Raise `OSError` unless this address can be listened on now."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((settings.host, settings.port))


def _announce(settings: Settings, http_server: HttpServer, on_ready: Callable[[], None]) -> None:
    """Call `on_ready` as soon as the service answers, within a minute."""
    deadline = time.monotonic() + READY_WAIT_SECONDS
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    while time.monotonic() < deadline:
        # A process that is forked while this thread resolves a name could inherit a lock that nobody opens again.
        if len(http_server.wrks) == settings.workers and _is_ready(host, settings.port):
            on_ready()
            return
        time.sleep(_POLL_SECONDS)


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
