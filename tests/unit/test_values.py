"""Ids, e-mail addresses, URLs and domains: what is taken and what is refused."""

from uuid import UUID

import pytest
from email_validator import validate_email
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.domain import values


@given(st.uuids())
def test_an_id_is_read_in_either_case(number: UUID) -> None:
    assert values.parse_id(str(number)) == values.parse_id(str(number).upper()) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "0185a142-54ff-7ce5-846a-fc188432da6",
        "0185a142-54ff-7ce5-846a-fc188432da6e0",
        "0185a14254ff7ce5846afc188432da6e",
        "{0185a142-54ff-7ce5-846a-fc188432da6}",
        "0185a142_54ff_7ce5_846a_fc188432da6e",
        "0185a142-54ff-7ce5-846a-fc188432da6g",
        "0185a142-54ff-7ce5-846a-fc188432da6٣",
        " 185a142-54ff-7ce5-846a-fc188432da6e",
        "0185a14-254ff-7ce5-846a-fc188432da6e",
    ],
)
def test_what_is_not_the_canonical_form_is_no_id(text: str) -> None:
    assert values.parse_id(text) is None


@given(texts)
def test_no_text_makes_the_reader_of_ids_fail(text: str) -> None:
    assert values.parse_id(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "john@example.com",
        "exampleCorpInvoices@example.com",
        "a+b.c@sub.example.co.uk",
        "o'hara@example.com",
        "dörte@exämple.de",
        "x@xn--exmple-cua.de",
        "billing@invoices.internal",
        "a@shop.test",
        "a@printer.local",
        "a@example.invalid",
    ],
)
def test_addresses_that_are_taken(text: str) -> None:
    values.check_email(text)


_LABEL = "[A-Za-z0-9-]{1,12}"


@given(st.from_regex(rf"[A-Za-z0-9_+.-]{{1,20}}@({_LABEL}\.){{1,3}}{_LABEL}", fullmatch=True))
def test_the_short_way_takes_no_address_that_the_long_one_refuses(text: str) -> None:
    try:
        values.check_email(text)
    except ValueError:
        return
    validate_email(text, check_deliverability=False, globally_deliverable=False)


@pytest.mark.parametrize(
    "text",
    ["", "john", "john@", "@example.com", "a b@example.com", "a@b@example.com", "a@example..com", "a@-x.com", "a@\n"],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an e-mail address"):
        values.check_email(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/",
        "http://example.com",
        "https://example.com:8443/a?b=c#d",
        "HTTPS://Example.com/",
        "http://[::1]/",
        "http://localhost",
        "https://exämple.de/straße",
    ],
)
def test_urls_that_are_taken(text: str) -> None:
    values.check_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://:80/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "http://[::1/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com/\x7f",
        " https://example.com/",
    ],
)
def test_urls_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="http:// or https://"):
        values.check_url(text)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "example.com"),
        ("www.Example.COM", "example.com"),
        ("a.b.shop.example.co.uk", "example.co.uk"),
        ("example.com.", "example.com"),
        ("fho.edu.br", "fho.edu.br"),
        ("co.uk", None),
        ("com", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
        ("printer.internal", None),
    ],
)
def test_registrable_domain(host: str, domain: str | None) -> None:
    assert values.registrable_domain(host) == domain


def test_countries_are_those_of_iso_and_kosovo() -> None:
    assert {"DE", "GB", "US", "XK", "SS"} <= set(values.COUNTRIES)
    assert not {"UK", "EU", "de", ""} & set(values.COUNTRIES)
    assert len(values.COUNTRIES) == len(set(values.COUNTRIES)) == 250


def test_states_of_the_two_countries_that_need_one() -> None:
    assert len(values.STATES_BY_COUNTRY["US"]) == 51
    assert len(values.STATES_BY_COUNTRY["CA"]) == 13
    assert not values.STATES_BY_COUNTRY["US"] & values.STATES_BY_COUNTRY["CA"]


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}"])
def test_blank_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="blank"):
        values.check_not_blank(text)


def test_texts_sort_without_case() -> None:
    assert sorted(["b", "Ä", "a", "B", "ß", "É"], key=values.sort_form) == ["a", "b", "B", "ß", "Ä", "É"]
