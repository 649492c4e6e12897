"""From a kind of failure to its status and the error envelope: the one table."""

import msgspec
from msgspec import UNSET, UnsetType

from customary import errors
from customary.api.http import Response
from customary.api.wire import Wire

STATUS: dict[type[errors.Failure], int] = {
    errors.Invalid: 400,
    errors.UnknownVersion: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.PayloadTooLarge: 413,
    errors.UriTooLong: 414,
    errors.UnsupportedMediaType: 415,
    errors.IdempotencyMismatch: 422,
    errors.RateLimited: 429,
    errors.HeadersTooLarge: 431,
    errors.Internal: 500,
    errors.Unavailable: 503,
    errors.Contended: 503,
    errors.Undecryptable: 503,
}

RETRY_AFTER_SECONDS = 1


class ErrorDetail(Wire):
    """One thing that is wrong. `key` is the path of the field in the caller's own names."""

    code: str
    message: str
    key: str
    errors: list[str]


class ErrorBody(Wire):
    """What went wrong; `errors` only where there are details."""

    type: str
    message: str
    errors: list[ErrorDetail] | UnsetType = UNSET


class ErrorEnvelope(Wire):
    """The body of every answer that is not a success."""

    error: ErrorBody


def response(failure: errors.Failure) -> Response:
    """The answer to a request that failed."""
    details = [
        ErrorDetail(code=problem.code, message=problem.message, key=problem.key, errors=[])
        for problem in failure.problems
    ]
    body = ErrorEnvelope(error=ErrorBody(type=failure.type, message=failure.message, errors=details or UNSET))
    return Response(STATUS[type(failure)], msgspec.json.encode(body), _headers(failure))


def _headers(failure: errors.Failure) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(failure, errors.Unauthorized):
        return ((b"www-authenticate", b'Basic realm="customary", charset="UTF-8"'),)
    if isinstance(failure, errors.MethodNotAllowed):
        return ((b"allow", ", ".join(failure.allowed).encode()),)
    if isinstance(failure, errors.Unavailable):
        return ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),)
    if isinstance(failure, errors.RateLimited | errors.Conflict) and failure.retry_after_seconds is not None:
        return ((b"retry-after", str(failure.retry_after_seconds).encode()),)
    return ()
