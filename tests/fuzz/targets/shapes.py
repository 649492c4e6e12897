"""JSON in the shape of a body, out of bytes: most of it what the body's type allows, some of it anything at all."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import inspect
from tests.fuzz.targets.draw import Draw

Json: TypeAlias = Any

# What a schema cannot say, by the name of the field: values that are likely to be taken, and some that are nearly.
_POOLS: Mapping[str, Sequence[str]] = {
    "email": (
        *("a@example.com", "A@EXAMPLE.com", "b@example.com", "c@example.com", "d@example.com", "ß@straße.example"),
        *('"a b"@example.org', "@"),
    ),
    "url": (
        "https://example.com/",
        "http://shop.example.co.uk:8080/a?b#c",
        "https://[::1]/",
        "HTTPS://user@ÄÖ.example",
        "https://example.com:65536/",
        "https://\u2100.example/",
        "https://[::1",
        "https://.co.uk./",
    ),
    "recipients": ("https://example.com/hook", "a@example.com", "b@example.com", "https://x@y/"),
    "country": ("DE", "US", "CA", "XK", "QQ"),
    "state": ("NY", "ON", "NU", "YT", "AA"),
    "parentId": ("01a1facc-35ad-7467-ab73-16626f891b76", "x"),
    "customerId": ("01a1facc-35ad-7467-ab73-16626f891b76", "x"),
}
_POOL_OF = {"billingEmails": "email", "alertEmailAddresses": "email"}
_TEXTS = (
    "Acme",
    "",
    " ",
    "a",
    "A",
    "\u0130\ufb03",
    "é",
    "e\u0301",
    "\u202e",
    "x" * 255,
    "x" * 256,
    "\U0001f600",
    "\n\r",
)
_ANYTHING: tuple[Json, ...] = (None, True, 0, -1, 2**63, 1.5, "", "x", [], {}, [None], {"": None}, [[[]]])


def drawn(info: inspect.Type, draw: Draw, name: str = "") -> Json:  # noqa: C901, PLR0911 - one return for each kind of type
    """A value for a field of this type and name."""
    if draw.one_in(150):
        return draw.choice(_ANYTHING)
    match info:
        case inspect.Metadata():
            codes = _POOLS.get(name) or (info.extra_json_schema or {}).get("enum")
            is_code = "enum" in (info.extra_json_schema or {}) and not draw.one_in(60)
            return draw.choice(codes) if codes and is_code else drawn(info.type, draw, name)
        case inspect.StructType():
            return _members(info, draw)
        case inspect.ListType() | inspect.VarTupleType():
            size = 101 if draw.one_in(100) else draw.number(4)
            return [drawn(info.item_type, draw, name) for _ in range(size)]
        case inspect.DictType():
            size = 51 if draw.one_in(100) else draw.number(3)
            return {_text(draw, ""): drawn(info.value_type, draw) for _ in range(size)}
        case inspect.EnumType():
            return draw.choice([member.value for member in info.cls])
        case inspect.LiteralType():
            return draw.choice(info.values)
        case inspect.UnionType():
            return drawn(draw.choice(info.types), draw, name)
        case inspect.BoolType():
            return draw.one_in(2)
        case inspect.IntType():
            return draw.number(200) - 50
        case inspect.NoneType():
            return None
        case _:
            return _text(draw, name)


def _members(info: inspect.StructType, draw: Draw) -> Json:
    is_there = [not draw.one_in(150) if field.required else draw.one_in(2) for field in info.fields]
    fields = [field for field, there in zip(info.fields, is_there, strict=True) if there]
    return {field.encode_name: drawn(field.type, draw, field.encode_name) for field in fields}


def _text(draw: Draw, name: str) -> str:
    pool = _POOLS.get(_POOL_OF.get(name, name))
    if pool is not None and not draw.one_in(20):
        return draw.choice(pool)
    # U+0000 never gets as far as the shape of a body.
    return draw.text(40).replace("\0", "") if draw.one_in(2) else draw.choice(_TEXTS)
