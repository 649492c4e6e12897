"""The log: one line of JSON an event on standard error, with named fields only.

Nothing of a request's body, query, credentials or path parameters is ever handed to it; an unexpected exception is
logged with its type and its places in the source, never with its message, which may carry a row's values.
"""

import logging.config
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog
from msgspec import json

_SHARED = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure() -> None:
    """Send the logs of this process to standard error, those of the standard library's loggers in the same form."""
    structlog.configure(
        processors=[*_SHARED, _encode],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(standard_library())


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
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=[remove, _encode])


def _encode(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    event.pop("exc_info", None)  # an exception's message may carry a row's values
    return json.encode(event, enc_hook=str).decode()


def places(error: BaseException) -> list[str]:
    """Where an exception came from: its type and the frames, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return [type(error).__qualname__, *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)]
