"""The log: one line of JSON an event on standard error, with named fields only.

Nothing of a request's body, query, credentials or path parameters is ever handed to it; an unexpected exception is
logged with its type and its places in the source, never with its message, which may carry a row's values. A field that
is not listed here is left out, and of what a library says only the first line is kept: asyncio and others write the
exceptions that they met below it.
"""

import contextlib
import logging.config
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO, cast
from uuid import UUID

import structlog
from msgspec import Struct, json

# All that a line can have. Whoever adds one says by that that it never holds what a caller sent.
FIELDS = frozenset(
    {
        *("event", "level", "timestamp", "places", "left_out"),
        *("request_id", "method", "path", "status", "version", "account_id", "client_id", "duration_ms"),
        *("job_id", "attempt", "endpoint_id", "policy_id", "state"),
        *("capacity", "count", "times", "worker", "secrets_by_key"),
        *("kind", "error", "reason", "found", "advice"),
    }
)

# JSON lets them stand as they are, and yet some readers begin a line there and some terminals take them for commands.
_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}

_json = json.Encoder(enc_hook=str).encode


class RequestLine(Struct, frozen=True, kw_only=True):
    """What the log says of one request. There are thousands a second: it is written without anything in between.

    Nothing in it is from the caller but a request id of plain letters. `path` is the template of its route.
    """

    request_id: str
    method: str | None
    path: str | None
    status: int
    version: str
    account_id: UUID | None
    client_id: UUID | None
    duration_ms: float
    event: str = "request"
    level: str = "info"
    timestamp: str


class _StandardError:
    """Never fails: a full disk or a reader that is gone costs lines of the log, not requests."""

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line)

    def flush(self) -> None:
        """Nothing to do: standard error passes on each line by itself."""


_file: TextIO = cast("TextIO", _StandardError())


def configure(file: TextIO = _file) -> None:
    """Send the logs of this process to standard error or another file, those of the standard library in their form."""
    global _file  # noqa: PLW0603 - a process has one log
    _file = file
    structlog.configure(
        processors=[_encode],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(standard_library())


def answered(
    *,
    request_id: str,
    method: str | None,
    path: str | None,
    status: int,
    version: str,
    account_id: UUID | None,
    client_id: UUID | None,
    seconds: float,
) -> None:
    """Log that a request was answered."""
    line = RequestLine(
        request_id=request_id,
        method=method,
        path=path,
        status=status,
        version=version,
        account_id=account_id,
        client_id=client_id,
        duration_ms=round(seconds * 1000, 2),
        timestamp=_now(),
    )
    _file.write(_json(line).decode() + "\n")


def standard_library() -> dict[str, Any]:
    """The configuration of the standard library's loggers: ours from INFO on, what others warn about."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": _formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"customary": {"level": "INFO"}},
    }


def _formatter() -> logging.Formatter:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.processors.add_log_level, _first_line], processors=[remove, _encode]
    )


def _first_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _encode(_logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """The line. Every request has one, so what all lines have is added here, and the usual one is only looked at."""
    event.setdefault("level", method)
    event.setdefault("timestamp", _now())
    found = event.pop("exc_info", None)  # an exception's message may carry a row's values
    if found is not None:
        error: BaseException | None = sys.exc_info()[1] if found is True else (found or (None, None))[1]
        if error is not None:
            event["places"] = places(error)
    if not event.keys() <= FIELDS:
        left_out = sorted(event.keys() - FIELDS)
        event = {**{name: value for name, value in event.items() if name in FIELDS}, "left_out": left_out}
    text = _json(event).decode()
    return text if text.isascii() and "\x7f" not in text else text.translate(_ESCAPES)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def places(error: BaseException) -> list[str]:
    """Where an exception came from: its type and the frames, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return [type(error).__qualname__, *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)]
