"""What is judged to be a valid request, and that completing one never makes it invalid."""

from typing import Any

import msgspec
import pytest
from tests.fuzz.completion import Known, complete_body
from tests.fuzz.contract import Contract, Sent

from customary.api.openapi import document
from customary.api.versions import LIVE

NEWEST = document(LIVE["2024-07-30"])
CONTRACT = Contract(NEWEST)
URL = "http://127.0.0.1:8000/api"
HEADERS = {"authorization": "Basic a2V5OnNlY3JldA=="}
JSON = HEADERS | {"content-type": "application/json"}
CONTACT = {"name": "Ada", "email": "ada@example.com", "billingPreference": "PRIMARY"}


def contact(**changes: object) -> bytes:
    return msgspec.json.encode(CONTACT | changes)


def listing(query: str, headers: dict[str, str] | None = None) -> Sent:
    return Sent("GET", f"{URL}/customers?{query}", headers or HEADERS, None)


def creating(body: bytes | None, headers: dict[str, str] | None = None) -> Sent:
    return Sent("POST", f"{URL}/customers/1/contacts", headers or JSON, body)


@pytest.mark.parametrize(
    "query",
    ["", "limit=1", "includeArchived=true", "unknown=1&unknown=2", "email=a%26b", "customProperties[tier]=gold"],
)
def test_valid_queries(query: str) -> None:
    assert CONTRACT.faults("/customers", listing(query)) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=1&limit=1", "limit=", "includeArchived=yes", "email=", "billingStatus=NONE"],
)
def test_invalid_queries(query: str) -> None:
    assert CONTRACT.faults("/customers", listing(query)) != []


@pytest.mark.parametrize("body", [contact(), contact(unknown=1)])
def test_valid_bodies(body: bytes) -> None:
    assert CONTRACT.faults("/customers/{customer}/contacts", creating(body)) == []


@pytest.mark.parametrize(
    "body", [None, b"", b"{", b"[]", b"{}", contact(email=1), contact(billingPreference="ALL"), contact(name="a" * 256)]
)
def test_invalid_bodies(body: bytes | None) -> None:
    assert CONTRACT.faults("/customers/{customer}/contacts", creating(body)) != []


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        HEADERS,
        JSON | {"sequence-version": "2024-01-01"},
        JSON | {"idempotency-key": ""},
    ],
)
def test_invalid_headers(headers: dict[str, str]) -> None:
    assert CONTRACT.faults("/customers/{customer}/contacts", creating(contact(), headers)) != []


def test_a_space_around_a_header_is_no_part_of_it() -> None:
    assert CONTRACT.faults("/customers", listing("", HEADERS | {"sequence-version": " 2024-07-30 "})) == []


def test_another_path_is_no_valid_request() -> None:
    assert CONTRACT.faults("/customers/{id}", Sent("GET", f"{URL}/customers", HEADERS, None)) != []


@pytest.mark.parametrize("body", [{"country": None}, {"country": "GB"}, {}])
def test_null_is_valid_where_the_document_says_so(body: dict[str, Any]) -> None:
    sent = Sent("PUT", f"{URL}/sequence-accounts/1", JSON, msgspec.json.encode(body))
    assert CONTRACT.faults("/sequence-accounts/{id}", sent) == []


@pytest.mark.parametrize("version", LIVE)
def test_a_completed_request_is_still_valid(version: str) -> None:
    described = document(LIVE[version])
    contract, known = Contract(described), Known(described)
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                body = complete_body(content["example"], known, lambda: "something-new")
                url = f"{URL}{path}".replace("{", "").replace("}", "")
                sent = Sent(method.upper(), url, HEADERS | {"content-type": media_type}, msgspec.json.encode(body))
                assert contract.faults(path, sent) == [], (path, body)


def test_links_are_remembered() -> None:
    known = Known(NEWEST)
    known.learn(("/customers", "POST", 201), {}, {}, {"id": "a/b"})
    assert known.path("getCustomersById", 0) == {"id": "a/b"}
    assert known.path("putCustomersByAliasByAlias", 7) == {"alias": "a/b"}
    assert known.leads_to("getCustomersById", {"id": "a%2Fb"})
    assert not known.leads_to("getCustomersById", {"id": "b"})
    known.learn(("/customers/{customer}/contacts", "POST", 201), {"customer": "a"}, {}, {"id": "c"})
    assert known.path("putCustomersByCustomerContactsById", 0) == {"customer": "a", "id": "c"}
    known.learn(("/users", "GET", 200), {}, None, {"items": []})
    assert known.path("getUsersById", 0) is None
