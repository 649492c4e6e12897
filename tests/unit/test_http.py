"""Paths and queries as bytes, before anything of them is trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customary.api.http import Request, query_parameters, request_from
from customary.errors import Invalid


async def nothing() -> dict[str, object]:
    return {}


def request(raw_path: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> Request:
    scope = {"method": "GET", "raw_path": raw_path, "path": "/", "query_string": b"", "headers": headers or []}
    return request_from(scope, nothing)


@pytest.mark.parametrize(
    ("raw_path", "segments"),
    [
        (b"/", ("",)),
        (b"/api/customers", ("api", "customers")),
        (b"/api/customers/", ("api", "customers", "")),
        (b"/api//customers", ("api", "", "customers")),
        (b"/api/a%2Fb", ("api", "a/b")),
        (b"/api/a%252Fb", ("api", "a%2Fb")),
        (b"/api/%C3%A9+%20", ("api", "é+ ")),
        (b"/api/100%", ("api", "100%")),
        (b"/api/x?y=z", ("api", "x")),
    ],
)
def test_each_part_of_a_path_is_decoded_by_itself(raw_path: bytes, segments: tuple[str, ...]) -> None:
    assert request(raw_path).segments == segments


@pytest.mark.parametrize("raw_path", [b"/%ff", b"/api/%00", b"/api/%ED%A0%80", b"/\xff", b"/api/a%C3"])
def test_a_part_that_no_name_can_have_is_empty(raw_path: bytes) -> None:
    assert request(raw_path).segments[-1] == ""


def test_headers_are_found_in_any_case_and_keep_all_values() -> None:
    found = request(b"/", [(b"X-Some", b"1"), (b"x-SOME", b"2")])
    assert found.headers == {b"x-some": [b"1", b"2"]}
    assert found.header(b"x-some") == b"1"
    assert found.header(b"x-other") is None


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        (b"a", {"a": [""]}),
        (b"a=", {"a": [""]}),
        (b"a=b=c", {"a": ["b=c"]}),
        (b"a=x+y%2Bz", {"a": ["x y+z"]}),
        (b"n%C3%A9=%E2%82%AC", {"né": ["€"]}),
        (b"a=100%", {"a": ["100%"]}),
    ],
)
def test_parameters_of_a_query(query: bytes, parameters: dict[str, list[str]]) -> None:
    assert query_parameters(query) == parameters


@pytest.mark.parametrize(
    ("query", "code"), [(b"a=%ff", "encoding"), (b"%ff=a", "encoding"), (b"a=%00", "nul"), (b"a%00=", "nul")]
)
def test_a_query_that_cannot_be_text_is_refused(query: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        query_parameters(query)
    assert [problem.code for problem in refused.value.problems] == [code]


@given(st.binary(max_size=40))
def test_no_bytes_make_it_fail(raw: bytes) -> None:
    segments = request(b"/" + raw).segments
    assert not any("\0" in segment for segment in segments)
    try:
        parameters = query_parameters(raw)
    except Invalid:
        return
    assert not any("\0" in text for name, values in parameters.items() for text in (name, *values))
