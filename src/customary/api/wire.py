"""What all versions share on the wire: the base of every body, times, and the annotated types of single fields.

A field says its rule once, in its type: the reader (`reading.py`) enforces it and the OpenAPI document publishes it.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias, TypeVar, cast, dataclass_transform

import msgspec
from msgspec import UNSET, Meta, Struct, StructMeta, UnsetType

from customary.domain import values
from customary.domain.customer import MAXIMUM_CUSTOM_PROPERTIES
from customary.errors import Problem

Value = TypeVar("Value")

Check: TypeAlias = Callable[[Any], Iterable[Problem]]


@dataclass_transform(field_specifiers=(msgspec.field,), frozen_default=True, kw_only_default=True)
class _WireMeta(StructMeta):
    """Makes every body frozen, with its fields in the order of the published documents, required or not."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> "_WireMeta":  # noqa: ANN401 - what msgspec takes
        defaults: dict[str, Any] = {"frozen": True, "kw_only": True, "rename": "camel"}
        return super().__new__(cls, name, bases, namespace, **{**defaults, **options})


class Wire(Struct, metaclass=_WireMeta):
    """The base of every body and query: camel case outside, optional fields absent when they have no value."""


def rule(code: str, refuse: Callable[[str], None]) -> dict[str, Check]:
    """What a field's type carries so that the reader runs `refuse` on it, which raises `ValueError` to say no."""

    def check(value: str) -> Iterable[Problem]:
        try:
            refuse(value)
        except ValueError as error:
            return (Problem("", code, str(error)),)
        return ()

    return {"check": check}


def one_of(codes: Iterable[str], description: str) -> Meta:
    """The published codes that a text can be."""
    known = tuple(codes)

    def refuse(text: str) -> None:
        if text not in known:
            shown = ", ".join(known) if len(known) <= _SHOWN_CODES else "the codes in the API reference"
            message = f"'{text}' is not one of {shown}."
            raise ValueError(message)

    return Meta(description=description, extra_json_schema={"enum": list(known)}, extra=rule("enum", refuse))


_SHOWN_CODES = 20

Text: TypeAlias = Annotated[str, Meta(max_length=255)]
RequiredText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
FilledText: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"\S", extra=rule("blank", values.check_not_blank))
]
Email: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=254, examples=["accounts@example.com"], extra=rule("email", values.check_email))
]
Url: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        pattern=r"^https?://",
        examples=["https://example.com/"],
        extra=rule("url", values.check_url),
    ),
]
Country: TypeAlias = Annotated[
    str,
    Meta(
        description="ISO 3166-1 alpha-2, or XK for Kosovo.",
        extra_json_schema={"enum": list(values.COUNTRIES)},
        extra=rule("enum", values.check_country),
    ),
]
Filter: TypeAlias = Annotated[str, Meta(min_length=1)]
CustomProperties: TypeAlias = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=500)]],
    Meta(
        max_length=MAXIMUM_CUSTOM_PROPERTIES, description="Texts under keys of your own; a key has 1 to 64 characters."
    ),
]
Id: TypeAlias = Annotated[str, Meta(description="A UUID.", examples=["01a1facc-35ad-7467-ab73-16626f891b76"])]
Time: TypeAlias = Annotated[str, Meta(description="RFC 3339 in UTC.", examples=["2026-01-02T10:55:00Z"])]


def _check_time(text: str) -> None:
    try:
        time_of(text)
    except (msgspec.ValidationError, OverflowError):
        message = "This must be a time of RFC 3339, such as 2026-01-02T10:55:00Z; the + of an offset is written %2B."
        raise ValueError(message) from None


def time_of(text: str) -> datetime:
    """The time in UTC that a text of type `GivenTime` says."""
    return msgspec.convert(text, Annotated[datetime, Meta(tz=True)]).astimezone(UTC)


GivenTime: TypeAlias = Annotated[
    str,
    Meta(
        examples=["2026-01-02T10:55:00Z"],
        extra_json_schema={"format": "date-time"},
        extra=rule("time", _check_time),
    ),
]


def or_unset(value: Value | None) -> Value | UnsetType:
    """The wire form of a value that may be missing: the field is then absent, never null."""
    return UNSET if value is None else value


def or_none(value: Value | UnsetType) -> Value | None:
    """The domain form of a field that may be absent."""
    return None if value is UNSET else value


def time_text(time: datetime) -> str:
    """RFC 3339 in UTC, microseconds kept, trailing zeros dropped: `2021-01-02T10:55:00.12Z`."""
    text = (time if time.tzinfo is UTC else time.astimezone(UTC)).isoformat()[:_WITHOUT_OFFSET]
    return f"{text.rstrip('0')}Z" if time.microsecond else f"{text}Z"


def time_form(time: datetime) -> str:
    """The same in a body that is going to be written: the time itself where msgspec writes just that, and faster."""
    is_written_so = time.tzinfo is UTC and (time.microsecond % 10 or not time.microsecond)
    return cast("str", time) if is_written_so else time_text(time)


_WITHOUT_OFFSET = -len("+00:00")
