"""The application of one process: its database, and which part of it answers which path."""

import asyncio
import signal
import time
from multiprocessing import parent_process
from pathlib import Path

import asyncpg
import structlog

from customary import logs
from customary.api import failures, gateway, openapi, reference, versions
from customary.api.http import Receive, Request, Response, Scope, Send, request_from, send_response
from customary.api.limits import Limiter
from customary.connectors.mail_server import mail_server
from customary.errors import Failure, Internal
from customary.lifeline import tie_to
from customary.settings import from_environment
from customary.storage import schema
from customary.storage.database import Database
from customary.storage.secret_keys import KeyRing, parse

STARTUP_TIMEOUT_SECONDS = 20.0
_STARTUP_PAUSE_SECONDS = 0.1

_log = structlog.get_logger("customary.app")
# The page loads its own style sheet and nothing else.
_POLICY = b"default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
_PAGE_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Application:
    """Answers HTTP, as an ASGI application. It needs a database whose schema is current."""

    def __init__(
        self,
        database_url: str,
        pool_size: int,
        *,
        keys: KeyRing,
        limits_file: Path | None = None,
        has_mail: bool = False,
    ) -> None:
        """`keys` are those of stored secrets, `has_mail` says whether e-mail can be sent.

        `limits_file` is where the processes of one server count requests together; without it each counts alone.
        """
        self._database_url = database_url
        self._pool_size = pool_size
        self._keys = keys
        self._limits_file = limits_file
        self._has_mail = has_mail
        self._services: gateway.Services | None = None

    async def startup(self) -> None:
        """Connect to the database. Raises what the driver raises where that fails."""
        database = await Database.open(self._database_url, pool_size=self._pool_size, keys=self._keys)
        self._services = gateway.Services(database, Limiter(self._limits_file), self._has_mail)

    async def shutdown(self) -> None:
        """Let go of the database."""
        if self._services is not None:
            await self._services.database.close()
            self._services.limiter.close()
            self._services = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(request_from(scope, receive), send)

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
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if time.monotonic() > deadline:
                    _log.error("startup_failed", places=logs.places(error))
                    return False
                await asyncio.sleep(_STARTUP_PAUSE_SECONDS)
            else:
                return True

    async def _http(self, request: Request, send: Send) -> None:
        try:
            response, headers = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the last resort outside the gate, which has its own
            _log.error("request_failed", places=logs.places(error))
            response, headers = failures.response(Internal("Something went wrong on our side.")), []
        await send_response(send, response, headers)

    async def _answer(self, request: Request) -> tuple[Response, list[tuple[bytes, bytes]]]:
        segments = request.segments
        if segments[:1] != ("api",):
            return await self._outside(segments), []
        page = _page(request, segments[1:])
        if page is not None:
            return page, [(b"sequence-version", versions.NEWEST.header)]
        return await gateway.answer(self._running(), request, segments[1:])

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
        """Whether the database answers and its schema is the one that this release needs."""
        try:
            async with self._running().database.without_tenant() as connection:
                found = await connection.fetchval(schema.CURRENT)
        except Failure:
            return Response(503, b'{"status":"not ready","reason":"The database does not answer."}')
        if found != schema.HEAD:
            return Response(
                503,
                b'{"status":"not ready","reason":"The schema does not fit this release. Run: customary migrate"}',
            )
        return Response(200, b'{"status":"ready"}')


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
    logs.configure()
    settings = from_environment()
    assert settings.database_url is not None  # noqa: S101 - `customary serve` sets it for its workers
    has_mail = mail_server(settings.smtp_url, settings.mail_from) is not None
    keys = parse(settings.secret_keys or "")
    return Application(
        settings.database_url, settings.pool_size, keys=keys, has_mail=has_mail, limits_file=settings.limits_file
    )
