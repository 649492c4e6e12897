"""The kinds of failure, each with the stable type name that clients see. Nothing here knows HTTP.

    Failure
    ├── Invalid               validationError
    ├── UnknownVersion        UnrecognisedApiVersion
    ├── Unauthorized          unauthorized
    ├── Forbidden             forbidden
    ├── NotFound              notFound
    ├── MethodNotAllowed      methodNotAllowed
    ├── Conflict              conflict
    ├── RequestTimeout        requestTimeout
    ├── PayloadTooLarge       payloadTooLarge
    ├── UriTooLong            uriTooLong
    ├── UnsupportedMediaType  unsupportedMediaType
    ├── PreconditionFailed    preconditionFailed
    ├── IdempotencyMismatch   idempotencyMismatch
    ├── RateLimited           rateLimited
    ├── HeadersTooLarge       headersTooLarge
    ├── Unavailable           unavailable
    │   ├── Contended             the same: another transaction was in the way, and a retry may win
    │   └── Undecryptable         the same: a secret cannot be read, until the operator gives its key
    └── Internal              internalError

Operators meet `SetupError` instead: the command line prints it as one sentence and exits.
"""

from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with one field.

    `key` is the path of the field in the caller's own names, such as `contacts[1].email`;
    `code` is stable and meant for programs, `message` is a sentence for people.
    """

    key: str
    code: str
    message: str


class Failure(Exception):
    """Something the caller asked for cannot be done; the message says what was wrong and what to do."""

    type: ClassVar[str]

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = problems


class Invalid(Failure):
    """The request breaks a rule that its sender can see: nothing was stored."""

    type = "validationError"


class UnknownVersion(Failure):
    """The request asks for a version of the API that does not exist."""

    type = "UnrecognisedApiVersion"


class Unauthorized(Failure):
    """The credentials are missing or wrong."""

    type = "unauthorized"


class Forbidden(Failure):
    """The credentials are right and do not allow this."""

    type = "forbidden"


class NotFound(Failure):
    """There is no such thing in this account."""

    type = "notFound"


class MethodNotAllowed(Failure):
    """The path exists in this version, this verb on it does not."""

    type = "methodNotAllowed"

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class Conflict(Failure):
    """The request is sound and contradicts what is stored.

    `retry_after_seconds` is set where waiting alone may resolve it.
    """

    type = "conflict"
    retry_after_seconds: int | None = None


class RequestTimeout(Failure):
    """The body did not come in time."""

    type = "requestTimeout"


class PayloadTooLarge(Failure):
    """The body is larger than the service reads."""

    type = "payloadTooLarge"


class UriTooLong(Failure):
    """The path and the query are longer than the service reads."""

    type = "uriTooLong"


class UnsupportedMediaType(Failure):
    """The body is not in a format that the service reads."""

    type = "unsupportedMediaType"


class PreconditionFailed(Failure):
    """The thing is no longer what the caller last saw."""

    type = "preconditionFailed"


class IdempotencyMismatch(Failure):
    """The idempotency key was used for another request before."""

    type = "idempotencyMismatch"


class RateLimited(Failure):
    """The key has made its requests of this minute; after `retry_after_seconds` it may make more."""

    type = "rateLimited"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class HeadersTooLarge(Failure):
    """The headers are larger than the service reads."""

    type = "headersTooLarge"


class Unavailable(Failure):
    """The service cannot answer now; the same request may succeed later."""

    type = "unavailable"


class Contended(Unavailable):
    """Two transactions were in each other's way and this one gave in; it was undone and may be run again at once."""


class Undecryptable(Unavailable):
    """A stored secret cannot be read with the keys that the service has; its operator can change that."""


class Internal(Failure):
    """A defect of ours. The log has the details under the request's id."""

    type = "internalError"


class SetupError(Exception):
    """The service cannot start, or a command cannot run; the message is for the operator and says what to do."""
