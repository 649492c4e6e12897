"""Bodies with nothing wrong: read quickly, and never otherwise than the thorough reader reads them."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, inspect
from tests.support import bodies

from customary.api import reading, soundness
from customary.api.versions import LIVE
from customary.api.versions.v2024_07_30.customers import CustomerRequest
from customary.api.wire import Wire
from customary.errors import Invalid

BODIES = sorted(
    {endpoint.body for version in LIVE.values() for endpoint in version.endpoints if endpoint.body is not None},
    key=lambda body: f"{body.__module__}.{body.__qualname__}",
)
WHOLE: dict[str, Any] = bodies.newest(
    address={"line1": "1 Main St", "town": "Austin", "state": "TX", "postcode": "73301", "country": "US"},
    url="https://www.example.com/",
    label="first",
    customerAliases=["a", "b"],
    integrationIds=[{"service": "Stripe", "id": "s"}, {"service": "Xero", "id": "x"}],
    pushToIntegrations=["Xero"],
    status="DRAFT",
    customProperties={"region": "EU"},
    parentId="01a1facc-35ad-7467-ab73-16626f891b76",
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from((" ", "US", "GB", "CA", "DE", "TX", "TAXED", "PRIMARY", "NONE", "Stripe", "DRAFT", "x" * 256)),
    st.sampled_from(("a@b.example", "https://b.example/", "ftp://b.example", "x" * 501, "a@b", "b.example")),
    st.lists(st.text(max_size=2), max_size=3),
    st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=3),
    st.just([{"service": "Stripe", "id": "s"}, {"service": "Stripe", "id": "t"}]),
    st.just([{"name": "Ada", "email": "a@b.example", "billingPreference": "STANDARD"}]),
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a JSON value, and to one more member of each object and list."""
    found = [path]
    if isinstance(value, dict):
        found += [place for key, member in value.items() for place in places(member, (*path, key))]
        found.append((*path, "unknown"))
    if isinstance(value, list):
        found += [place for number, member in enumerate(value) for place in places(member, (*path, number))]
    return found[0 if path else 1 :]


def changed(value: dict[str, Any], place: tuple[Any, ...], new: object) -> dict[str, Any]:
    """The same with something else there; without it where that is UNSET."""
    made: Any = copy.deepcopy(value)
    inner = made
    for step in place[:-1]:
        inner = inner[step]
    if new is UNSET and isinstance(inner, dict):
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = new
    return made


def thorough(body: type[Wire], value: dict[str, Any]) -> Wire | None:
    try:
        return reading.read_thoroughly(body, value)
    except Invalid:
        return None


def test_a_sound_body_is_read_quickly() -> None:
    """Otherwise the thorough reader would hide that the quick one takes nothing."""
    assert soundness.read(CustomerRequest, WHOLE) == reading.read_thoroughly(CustomerRequest, WHOLE)
    assert soundness.read(CustomerRequest, bodies.newest()) is not None


@given(st.lists(st.tuples(st.sampled_from(places(WHOLE)), VALUES | st.just(UNSET)), min_size=1, max_size=2))
def test_both_readers_agree_on_what_is_changed_somewhere(changes: list[tuple[tuple[Any, ...], object]]) -> None:
    value = WHOLE
    for place, new in changes:
        try:
            value = changed(value, place, new)
        except (KeyError, IndexError, TypeError):
            return  # the first change took away what the second one is about
    assert soundness.read(CustomerRequest, value) == thorough(CustomerRequest, value)


def values(info: inspect.Type) -> st.SearchStrategy[object]:  # noqa: PLR0911 - one for each kind of type
    """Values of the shape that a field of this type has, whatever else it asks for."""
    match info:
        case inspect.Metadata():
            return values(info.type)
        case inspect.StructType():
            return st.fixed_dictionaries({each.encode_name: values(each.type) for each in info.fields})
        case inspect.ListType() | inspect.VarTupleType():
            return st.lists(values(info.item_type), min_size=1, max_size=2)
        case inspect.DictType():
            return st.dictionaries(st.text(max_size=2), values(info.value_type), max_size=2)
        case inspect.EnumType():
            return st.sampled_from([each.value for each in info.cls])
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.UnionType():
            return st.one_of(*map(values, info.types))
        case _:
            return VALUES


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body.__module__.split('.')[-2]}.{body.__qualname__}")
@given(st.data())
def test_both_readers_agree_on_every_body(body: type[Wire], data: st.DataObject) -> None:
    """What the quick one takes, if it can tell, is what the thorough one makes of it."""
    info = inspect.type_info(body)
    assert isinstance(info, inspect.StructType)
    fields = {each.encode_name: values(each.type) for each in info.fields}
    value = data.draw(st.fixed_dictionaries({}, optional=fields) | st.fixed_dictionaries(fields))
    quick = soundness.read(body, value)
    assert quick is None or quick == thorough(body, value)
