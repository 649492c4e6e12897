"""Queries: read as URLs write them, and taken or refused parameter by parameter, in each list of each version."""

from urllib.parse import parse_qsl

from msgspec import UNSET
from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target, refused

from customary.api.endpoint import Call, Endpoint
from customary.api.http import query_parameters
from customary.api.paging import PageParameters, pager
from customary.api.reading import flag, read_query
from customary.api.versions import LIVE
from customary.api.versions.v2024_07_30 import customer_pages
from customary.api.wire import Wire
from customary.errors import Invalid

_ENDPOINTS = tuple(each for version in LIVE.values() for each in version.endpoints if each.query is not None)
_CALL = Call({}, b"secret", "request")


def check(data: bytes) -> None:
    """Read the query in these bytes for one of the lists."""
    draw = Draw(data)
    endpoint = draw.choice(_ENDPOINTS)
    text = draw.rest()
    found: list[dict[str, list[str]]] = []
    failure = refused(lambda: found.append(query_parameters(text)))
    expected = _expected(text)
    if expected is None:
        assert isinstance(failure, Invalid), f"{text!r} is no text, and was read as {found}"
        return
    assert found == [expected], f"{text!r} was read as {found or failure}"
    refused(lambda: flag(expected, "dryRun"))
    _reads(endpoint, expected)


def _expected(text: bytes) -> dict[str, list[str]] | None:
    """The parameters as Python's own library reads them, each with all its values."""
    # A byte beyond ASCII means the same whether it is written as it is or as a percent and two digits.
    ascii_text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in text)
    try:
        pairs = parse_qsl(ascii_text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return None
    parameters: dict[str, list[str]] = {}
    for name, value in pairs:
        if "\0" in name + value:
            return None
        parameters.setdefault(name, []).append(value)
    return parameters


def _reads(endpoint: Endpoint, parameters: dict[str, list[str]]) -> None:
    assert endpoint.query is not None
    found: list[Wire] = []
    wanted = endpoint.query
    failure = refused(lambda: found.append(read_query(wanted, parameters)))
    if failure is not None:
        assert isinstance(failure, Invalid)
        assert failure.problems, "each parameter that fails is named"
        return
    query = found[0]
    limit = getattr(query, "limit", UNSET)
    assert limit is UNSET or 1 <= limit <= 100
    if isinstance(query, customer_pages.CustomerQuery):
        refused(lambda: customer_pages.filter_from_wire(query))
    given = {name: getattr(query, name, UNSET) for name in ("limit", "after", "before", "sort_by", "sort_order")}
    refusal = refused(lambda: pager(_CALL, ("account", "list"), PageParameters(**given)))
    has_cursor = given["after"] is not UNSET or given["before"] is not UNSET
    assert isinstance(refusal, Invalid) or not has_cursor, "a cursor was taken that nobody wrote"


_SEEDS = (
    b"",
    b"\0limit=20&after=abc&sortBy=createdAt&sortOrder=asc",
    b"\0legalName=M%C3%BCller+GmbH&includeArchived=true&x=1&&=&a",
    b"\0legalName=\xff",
    b"\0legalName=%ff",
    b"\0legalName=%00",
    b"\0limit=007&limit=2",
    b"\0limit=%D9%A1",
    b"\0limit=" + b"9" * 5000,
    b"\x05limit=99999999999999999999&sortOrder=%C4%B1",
    *(
        bytes([position])
        + b"q=a&updatedSince=2026-01-02T10:55:00%2B02:00&customProperties[a]=b&include=contacts,aliases"
        b"&since=0001-01-01T00:00:00%2B23:59&state=FAILED&customProperties=x&customProperties[[]]=&billingStatus=ACTIVE"
        for position in range(len(_ENDPOINTS))
    ),
)
_WORDS = (
    *(b"&", b"=", b"%00", b"%ff", b"+", b"%2B", b"[", b"]", b"customProperties[", b"sortBy=customProperties."),
    *(b"after=", b"before=", b"limit=", b"sortOrder=", b"updatedSince=", b"9999-12-31T23:59:59.9999999999Z", b"-24:00"),
)
TARGET = Target(name="queries", check=check, seeds=_SEEDS, words=_WORDS)
