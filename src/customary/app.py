"""The application of one process: its database, and which part of it answers which path."""

import asyncio
import gc
import signal
import time
from multiprocessing import parent_process
from pathlib import Path

import structlog

from customary import logs
from customary.api import failures, gateway, head, openapi, reference, versions
from customary.api.admission import Admission, has_large_body
from customary.api.auth import REMEMBERED_SECONDS, Authenticator
from customary.api.http import Receive, Request, Response, Scope, Send, request_from, send_response
from customary.api.intake import Body, Patience, Room
from customary.api.limits import Limiter
from customary.api.request_metrics import NONE, RequestMetrics, route_outside
from customary.connectors.addresses import Network, parse_networks
from customary.connectors.mail_server import mail_server
from customary.errors import Failure, Internal
from customary.lifeline import tie_to
from customary.metrics import families
from customary.metrics.process import Metrics
from customary.operations.key_uses import KeyUses
from customary.settings import PREFIX, from_environment
from customary.storage.database import Database
from customary.storage.pool_metrics import PoolMetrics
from customary.storage.readiness import Probe, Readiness
from customary.storage.secret_keys import KeyRing, parse

STARTUP_TIMEOUT_SECONDS = 20.0
_STARTUP_PAUSE_SECONDS = 0.1

# Python looks for garbage after so many new objects. At its usual 700 that is several times in every request, through
# all that the other requests hold, and under load it costs a sixth of what is answered.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000

_log = structlog.get_logger("customary.app")
# The page loads its own style sheet and nothing else.
_POLICY = b"default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
_PAGE_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_NOT_READY = {
    found: Response(503, b'{"status":"not ready","reason":"%s"}' % reason)
    for found, reason in {
        Readiness.SILENT: b"The database does not answer.",
        Readiness.RECOVERING: b"The database is recovering: it starts or stops, and takes no connections.",
        Readiness.READ_ONLY: b"The database is read-only: a standby, or set so; its URL names no other that is not.",
        Readiness.OTHER_SCHEMA: b"The schema does not fit this release. Run: customary migrate",
    }.items()
}


class Application:
    """Answers HTTP, as an ASGI application. It needs a database whose schema is current."""

    def __init__(  # noqa: PLR0913 - a process of the server has that many parts
        self,
        database_url: str,
        pool_size: int,
        *,
        keys: KeyRing,
        limits_file: Path | None = None,
        has_mail: bool = False,
        trusted_proxies: tuple[Network, ...] = (),
        remembered_seconds: float = REMEMBERED_SECONDS,
        patience: Patience | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`keys` are those of stored secrets, `has_mail` says whether e-mail can be sent.

        `limits_file` is where the processes of one server count requests together; without it each counts alone.
        What `trusted_proxies` say of a caller's address is believed, and a key that was found right is not looked up
        again for `remembered_seconds`.
        `patience` is how long it waits for a body, where not as long as usual. What it measures is in `metrics`.
        """
        self._database_url = database_url
        self._pool_size = pool_size
        self._keys = keys
        self._limits_file = limits_file
        self._has_mail = has_mail
        self._trusted_proxies = trusted_proxies
        self._remembered_seconds = remembered_seconds
        self._patience = patience or Patience()
        self._room = Room()
        self._metrics = metrics or Metrics()
        self._requests = RequestMetrics(self._metrics)
        self._admission = Admission(pool_size, self._requests)
        self._probe = Probe(database_url)
        self._services: gateway.Services | None = None
        self._uses: KeyUses | None = None

    async def startup(self) -> None:
        """Connect to the database. Raises what the driver raises where that fails."""
        pool = PoolMetrics(self._metrics, "requests")
        database = await Database.open(self._database_url, pool_size=self._pool_size, keys=self._keys, metrics=pool)
        limiter, self._uses = Limiter(self._limits_file), KeyUses(database)
        authenticator = Authenticator(
            database,
            limiter,
            self._uses,
            trusted_proxies=self._trusted_proxies,
            remembered_seconds=self._remembered_seconds,
        )
        await self._uses.start()
        self._services = gateway.Services(database, limiter, authenticator, self._requests, self._has_mail)

    async def shutdown(self) -> None:
        """Let go of the database."""
        self._probe.close()
        if self._services is not None and self._uses is not None:
            await self._uses.stop()
            self._services.database.close()
            self._services.limiter.close()
            self._services = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            # Health and what needs no database always find a place, and what has a flaw is refused for that.
            is_refused = self._admission.is_full and scope["path"].startswith("/api/") and head.flaw(scope) is None
            await (self._refuse if is_refused else self._http)(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        if not await self._connected():
            await send({"type": "lifespan.startup.failed", "message": "The database cannot be reached."})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.shutdown()
        await send({"type": "lifespan.shutdown.complete"})

    async def _connected(self) -> bool:
        """Connect, for as long as a database may take to come back: a worker may start while it is away."""
        deadline = time.monotonic() + STARTUP_TIMEOUT_SECONDS
        while True:
            try:
                await self.startup()
            # Whatever it is: an exception that left here would be taken by the server for an application that needs no
            # start-up, and every request that this process gets would then be answered by 500.
            except Exception as error:  # noqa: BLE001 - see above
                if time.monotonic() > deadline:
                    _log.error("startup_failed", places=logs.places(error))
                    return False
                await asyncio.sleep(_STARTUP_PAUSE_SECONDS)
            else:
                return True

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(scope, receive, self._patience, self._room)
        try:
            flaw = head.flaw(scope)
            request = request_from(scope, self._admission.uncounted(body.receive))
            with self._admission:
                response, headers = await self._response(request, flaw)
            # What comes behind a head that others may read differently is no request of whoever sent it.
            if flaw is not None or not (body.is_complete or await body.settle()):
                headers.append((b"connection", b"close"))
            await send_response(send, response, headers, is_of_write=scope["method"] != "GET")
            if not body.is_complete:
                await body.linger()
        finally:
            body.release()

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that there is no place. This has to cost little, so only what a large body needs is done for a body."""
        await self._admission.refuse(scope, send)
        if has_large_body(scope):
            body = Body(scope, receive, self._patience, self._room)
            await body.linger()

    async def _response(self, request: Request, flaw: Failure | None) -> tuple[Response, list[tuple[bytes, bytes]]]:
        try:
            return await self._answer(request, flaw)
        except Exception as error:  # noqa: BLE001 - the last resort outside the gate, which has its own
            _log.error("request_failed", places=logs.places(error))
            self._requests.answered(request.method, NONE, 500, NONE, 0.0)
            return failures.response(Internal("Something went wrong on our side.")), []

    async def _answer(self, request: Request, flaw: Failure | None) -> tuple[Response, list[tuple[bytes, bytes]]]:
        started, segments = time.perf_counter(), request.segments
        headers: list[tuple[bytes, bytes]] = []
        if segments[:1] == ("api",):
            page = _page(request, segments[1:]) if flaw is None else None
            if page is None:
                return await gateway.answer(self._running(), request, segments[1:], flaw)
            response, headers = page, [(b"sequence-version", versions.NEWEST.header)]
        else:
            response = await self._outside(segments) if flaw is None else failures.response(flaw)
        seconds = time.perf_counter() - started
        self._requests.answered(request.method, route_outside(segments), response.status, NONE, seconds)
        return response, headers

    async def _outside(self, segments: tuple[str, ...]) -> Response:
        match segments:
            case ("healthz",):
                return Response(200, b'{"status":"alive"}')
            case ("readyz",):
                return await self._readiness()
            case ("",):
                return Response(307, b"", ((b"location", b"/api/docs"),), b"text/plain")
            case _:
                return Response(
                    404, b'{"error":{"type":"notFound","message":"The API is under /api, its reference at /api/docs."}}'
                )

    def _running(self) -> gateway.Services:
        assert self._services is not None  # noqa: S101 - the server sends no request before the start-up is done
        return self._services

    async def _readiness(self) -> Response:
        """Whether the database takes writes and its schema is the one that this release needs."""
        found = await self._probe.ask()
        if found is Readiness.READ_ONLY:
            self._running().database.forget_connections()
        return Response(200, b'{"status":"ready"}') if found is Readiness.READY else _NOT_READY[found]


def _page(request: Request, segments: tuple[str, ...]) -> Response | None:
    """The API reference and the OpenAPI documents, which need no key; None for everything else."""
    if request.method != "GET":
        return None
    match segments:
        case ("docs",):
            return _html(reference.page(versions.NEWEST, tuple(versions.LIVE)))
        case ("docs", "style.css"):
            return Response(200, reference.stylesheet(), _PAGE_HEADERS, b"text/css; charset=utf-8")
        case ("docs", date) if date in versions.LIVE:
            return _html(reference.page(versions.LIVE[date], tuple(versions.LIVE)))
        case ("openapi", name) if name.removesuffix(".json") in versions.LIVE and name.endswith(".json"):
            return Response(200, openapi.encoded(versions.LIVE[name.removesuffix(".json")]), _PAGE_HEADERS)
        case _:
            return None


def _html(page: bytes) -> Response:
    return Response(200, page, _PAGE_HEADERS, b"text/html; charset=utf-8")


def create() -> Application:
    """The application of a server process, from the environment: what the server calls in each of its workers."""
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        tie_to(parent.pid, signal.SIGKILL)  # an orphan would hold the port and answer beside the next server
    gc.freeze()  # what is loaded by now stays
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    logs.configure()
    settings = from_environment()
    assert settings.database_url is not None  # noqa: S101 - `customary serve` sets it for its workers
    has_mail = mail_server(settings.smtp_url, settings.mail_from) is not None
    metrics = Metrics(settings.metrics_file)
    metrics.gauge(families.PROCESSES, "requests").set(1)
    keys = parse(settings.secret_keys or "")
    return Application(
        settings.database_url,
        settings.pool_size,
        keys=keys,
        has_mail=has_mail,
        limits_file=settings.limits_file,
        trusted_proxies=parse_networks(settings.trusted_proxies or "", f"{PREFIX}TRUSTED_PROXIES"),
        metrics=metrics,
    )
