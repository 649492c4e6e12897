"""The reader of bodies and queries: it names every field that is wrong, and only those."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType
from tests.support.bodies import newest

from customary.api.reading import read_body, read_query
from customary.api.versions.v2024_07_30.customers import CustomerRequest
from customary.api.wire import Email, Filter, Text, Wire
from customary.domain.customer import TaxStatus
from customary.errors import Invalid, Problem


class Inner(Wire, kw_only=True):
    email_address: Email
    kind: Literal["a", "b"] | UnsetType = UNSET


def _not_three(items: list[Inner]) -> Iterable[Problem]:
    if len(items) == 3:
        yield Problem("[2].emailAddress", "three", "Not three.")


class Outer(Wire, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)]
    is_good: bool
    amount: Annotated[int, Meta(ge=1, le=10)]
    status: TaxStatus
    one: Inner
    items: Annotated[list[Inner], Meta(min_length=1, max_length=3, extra={"check": _not_three})] | UnsetType = UNSET
    notes: Annotated[dict[Annotated[str, Meta(max_length=3)], Text], Meta(max_length=2)] | UnsetType = UNSET


class Query(Wire, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    include_archived: bool | UnsetType = UNSET
    legal_name: Filter | UnsetType = UNSET


GOOD: dict[str, Any] = {
    "name": "Ada",
    "isGood": True,
    "amount": 3,
    "status": "TAXED",
    "one": {"emailAddress": "a@example.com"},
}


def problems(body: object) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        read_body(Outer, body)
    return [(problem.key, problem.code) for problem in refused.value.problems]


def query_problems(parameters: dict[str, list[str]]) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        read_query(Query, parameters)
    return [(problem.key, problem.code) for problem in refused.value.problems]


def test_a_good_body_is_read_without_the_fields_that_nobody_knows() -> None:
    body = read_body(Outer, GOOD | {"id": "1", "items": [{"emailAddress": "b@example.com", "kind": "b"}]})
    assert body == Outer(
        name="Ada",
        is_good=True,
        amount=3,
        status=TaxStatus.TAXED,
        one=Inner(email_address="a@example.com"),
        items=[Inner(email_address="b@example.com", kind="b")],
    )


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_what_is_not_an_object_is_refused(body: object) -> None:
    assert problems(body) == [("", "type")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": ""}, [("name", "tooShort")]),
        ({"name": "123456"}, [("name", "tooLong")]),
        ({"name": None}, [("name", "type")]),
        ({"name": 1}, [("name", "type")]),
        ({"isGood": "true"}, [("isGood", "type")]),
        ({"isGood": 1}, [("isGood", "type")]),
        ({"amount": 0}, [("amount", "range")]),
        ({"amount": 11}, [("amount", "range")]),
        ({"amount": 10**400}, [("amount", "range")]),
        ({"amount": 1.0}, [("amount", "type")]),
        ({"amount": True}, [("amount", "type")]),
        ({"status": "taxed"}, [("status", "enum")]),
        ({"status": []}, [("status", "enum")]),
        ({"status": None}, [("status", "enum")]),
        ({"one": None}, [("one", "type")]),
        ({"one": []}, [("one", "type")]),
        ({"one": {}}, [("one.emailAddress", "required")]),
        ({"one": {"emailAddress": "no"}}, [("one.emailAddress", "email")]),
        ({"items": None}, [("items", "type")]),
        ({"items": {}}, [("items", "type")]),
        ({"items": []}, [("items", "tooFew")]),
        (
            {"items": [1, {"emailAddress": "a@example.com"}, {}]},
            [("items[0]", "type"), ("items[2].emailAddress", "required")],
        ),
        ({"items": [{"emailAddress": "a@example.com"}] * 3}, [("items[2].emailAddress", "three")]),
        ({"items": [{"emailAddress": "a@example.com"}] * 4}, [("items", "tooMany")]),
        ({"items": [{"emailAddress": "a@example.com", "kind": "c"}]}, [("items[0].kind", "enum")]),
        ({"notes": {"a": "x", "b": "x", "c": "x"}}, [("notes", "tooMany")]),
        ({"notes": {"abcd": "x", "b": None}}, [("notes.abcd", "tooLong"), ("notes.b", "type")]),
        ({"notes": []}, [("notes", "type")]),
    ],
)
def test_each_kind_of_fault_has_its_key_and_code(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert problems(GOOD | change) == expected


@pytest.mark.parametrize("limit", [1, 10])
def test_the_ends_of_a_range_are_taken(limit: int) -> None:
    assert read_body(Outer, GOOD | {"amount": limit}).amount == limit


BROKEN: dict[str, tuple[Any, set[str]]] = {
    "legalName": ("", {"legalName"}),
    "address": (
        {"line1": " ", "town": "T", "postcode": 1, "country": "UK"},
        {"address.line1", "address.postcode", "address.country"},
    ),
    "url": ("ftp://example.com", {"url"}),
    "label": ("x" * 256, {"label"}),
    "taxStatus": ("EXEMPT", {"taxStatus"}),
    "customerAliases": (["a", ""], {"customerAliases[1]"}),
    "integrationIds": (
        [{"service": "Sage", "id": "1"}, {"service": "Xero"}],
        {"integrationIds[0].service", "integrationIds[1].id"},
    ),
    "parentId": (None, {"parentId"}),
    "contacts": (
        [{"name": "A", "email": "a", "billingPreference": "PRIMARY"}, 7],
        {"contacts[0].email", "contacts[1]"},
    ),
    "pushToIntegrations": (["Stripe"], {"pushToIntegrations[0]"}),
    "status": ("OLD", {"status"}),
    "customProperties": ({"k": 1, "l": "v"}, {"customProperties.k"}),
}


@given(st.sets(st.sampled_from(sorted(BROKEN)), min_size=1))
def test_every_failing_field_of_a_customer_is_named_at_once(fields: set[str]) -> None:
    with pytest.raises(Invalid) as refused:
        read_body(CustomerRequest, newest(**{field: BROKEN[field][0] for field in fields}))
    expected: set[str] = set().union(*(BROKEN[field][1] for field in fields))
    assert {problem.key for problem in refused.value.problems} == expected
    assert len(refused.value.problems) == len(expected)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "items", "notes"]), anything))
def test_no_json_makes_the_reader_fail(change: dict[str, Any]) -> None:
    """It reads the body, or says what is wrong with a field that was changed."""
    try:
        read_body(Outer, GOOD | change)
    except Invalid as refused:
        found = refused.problems
    else:
        return
    assert found
    for problem in found:
        assert any(problem.key.startswith(field) for field in change)


def test_a_query_is_read_from_its_texts() -> None:
    query = read_query(Query, {"limit": ["20"], "includeArchived": ["true"], "legalName": ["x"], "unknown": ["1", "2"]})
    assert query == Query(limit=20, include_archived=True, legal_name="x")


@pytest.mark.parametrize("text", ["", "x", "1.0", "+1", "1e1", " 1", "0x1", "٣", "²", "--1", "-", "1" * 30])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    assert query_problems({"limit": [text]}) == [("limit", "type")]


@pytest.mark.parametrize("text", ["0", "-1", "101", "9223372036854775808"])
def test_a_limit_out_of_range_is_refused(text: str) -> None:
    assert query_problems({"limit": [text]}) == [("limit", "range")]


def test_all_failing_parameters_are_named_at_once() -> None:
    parameters = {"limit": ["0"], "includeArchived": ["yes"], "legalName": ["a", "b"]}
    assert query_problems(parameters) == [("limit", "range"), ("includeArchived", "type"), ("legalName", "repeated")]
