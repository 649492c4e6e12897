"""The headers that requests may and answers do carry, as the OpenAPI documents describe them."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from customary.api.endpoint import Endpoint
from customary.api.version import Version
from customary.api.writes import MOST_KEY_CHARACTERS

JsonObject: TypeAlias = dict[str, Any]

# What answers carry. One that is not required comes under the circumstances that its description names.
COMPONENTS: JsonObject = {
    "Sequence-Version": {
        "description": "The version that answered.",
        "required": True,
        "schema": {"type": "string"},
    },
    "X-Request-Id": {
        "description": "The request's id, as the log has it: the caller's own if that is fit, else a new one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Cache-Control": {
        "description": "That no cache may keep the answer.",
        "required": True,
        "schema": {"type": "string", "enum": ["no-store"]},
    },
    "RateLimit-Policy": {
        "description": "How many requests the key has in how many seconds, where a key was recognised. With 429 it can"
        " be how many wrong secrets may come for a client id from one address.",
        "schema": {"type": "string", "pattern": '^"(default|failures)";q=[0-9]+;w=[0-9]+$'},
    },
    "RateLimit": {
        "description": "How many requests are left and after how many seconds there are more, where a key was"
        " recognised.",
        "schema": {"type": "string", "pattern": '^"(default|failures)";r=[0-9]+;t=[0-9]+$'},
    },
    "ETag": {
        "description": "Stands for exactly what was answered; a dry run has none.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "Idempotent-Replayed": {
        "description": "That this is the answer that the same request under the same Idempotency-Key got before.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "WWW-Authenticate": {
        "description": "That Basic credentials are wanted.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again, where waiting may help.",
        "schema": {"type": "integer"},
    },
}

_OF_ALL = ("Sequence-Version", "X-Request-Id", "Cache-Control")
_RATE = ("RateLimit-Policy", "RateLimit")
_BEFORE_THE_KEY = frozenset({401, 414, 431})  # refused before anybody was recognised
_OF_STATUS = {
    304: ("ETag",),
    400: ("Idempotent-Replayed",),
    401: ("WWW-Authenticate",),
    404: ("Idempotent-Replayed",),
    409: ("Idempotent-Replayed", "Retry-After"),
    412: ("Idempotent-Replayed",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def of_refusal(status: int) -> JsonObject:
    """The headers of every answer with this status that is no success."""
    rate = () if status in _BEFORE_THE_KEY else _RATE
    return _references((*_OF_ALL, *rate, *_OF_STATUS.get(status, ())))


def of_success(endpoint: Endpoint) -> JsonObject:
    """The headers of this endpoint's answers when it did what it was asked to."""
    tag = ("ETag",) if endpoint.is_single else ()
    replayed = () if endpoint.is_read else ("Idempotent-Replayed",)
    return _references((*_OF_ALL, *_RATE, *tag, *replayed))


def parameters(endpoint: Endpoint, version: Version) -> Iterable[JsonObject]:
    """The headers that this endpoint's requests may carry."""
    yield _parameter(
        "Authorization",
        "`Basic` and the base64 of an API key's client id and secret, joined by a colon.",
        {"type": "string"},
        is_required=True,
    )
    yield _parameter(
        "Sequence-Version",
        "The version to speak. Without it: the one that the API key is pinned to, else the newest.",
        {"type": "string", "enum": [version.date]},
    )
    yield _parameter(
        "X-Request-Id",
        "An id of your own for this request: 1 to 64 letters, digits, dots, dashes and underscores. Any other text is"
        " passed over.",
        {"type": "string"},
    )
    if endpoint.is_read and endpoint.is_single:
        yield _parameter(
            "If-None-Match",
            "The ETag of what you have: if it is still the same, the answer is 304.",
            {"type": "string"},
        )
    if not endpoint.is_read:
        yield _parameter(
            "Idempotency-Key",
            "A key of your own for this change. The same request under the same key is done once; it is answered again"
            " with the first answer for 30 days.",
            {"type": "string", "minLength": 1, "maxLength": MOST_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
        )
    if endpoint.current is not None:
        yield _parameter(
            "If-Match",
            "The ETag of what you mean to change: if it is another by now, the answer is 412.",
            {"type": "string"},
        )


def _parameter(name: str, description: str, schema: JsonObject, *, is_required: bool = False) -> JsonObject:
    return {"name": name, "in": "header", "description": description, "required": is_required, "schema": schema}


def _references(names: Iterable[str]) -> JsonObject:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
