"""The bytes that never reach a parser or a database."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.api.guard import MAXIMUM_DEPTH, parse_json
from customary.errors import Invalid


def code(body: bytes) -> str:
    with pytest.raises(Invalid) as refused:
        parse_json(body)
    return refused.value.problems[0].code


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "empty"),
        (b" ", "json"),
        (b"{", "json"),
        (b"{'a': 1}", "json"),
        (b'{"a": NaN}', "json"),
        (b'{"a": Infinity}', "json"),
        (b'{"a": 1,}', "json"),
        (b"{} {}", "json"),
        (b'{"a": "\n"}', "json"),
        (b'{"a": "\0"}', "json"),
        (b'{"a": "\\ud800"}', "json"),
        (b'{"a": "\\udc00\\ud800"}', "json"),
        (b'{"a": 1, "a": 1}', "json"),
        (b'{"a": [{"b": 1, "b": 2}]}', "json"),
        (b'{"a": 1, "\\u0061": 2}', "json"),
        (b"\xef\xbb\xbf{}", "json"),
        (b'{"a": "\xff"}', "encoding"),
        (b'{"a": "\xed\xa0\x80"}', "encoding"),
        (b'{"a": "\xc0\x80"}', "encoding"),
        (b"\xff\xfe{\0}\0", "encoding"),
        (b'{"a": "\\u0000"}', "nul"),
        (b'{"\\u0000": 1}', "nul"),
        (b'[{"a": ["x\\u0000y"]}]', "nul"),
    ],
)
def test_what_is_refused(body: bytes, expected: str) -> None:
    assert code(body) == expected


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_the_deepest_nesting_that_is_read(bracket: str) -> None:
    closing = "]" if bracket == "[" else "}"
    deepest = (bracket * MAXIMUM_DEPTH + "1" + closing * MAXIMUM_DEPTH).encode()
    assert parse_json(deepest) == json.loads(deepest)
    assert code((bracket * (MAXIMUM_DEPTH + 1) + "1" + closing * (MAXIMUM_DEPTH + 1)).encode()) == "depth"


@pytest.mark.parametrize(
    "body", [b"[" * 500_000, b'{"a":' * 100_000, b'"\\' * 10 + b"[" * 100_000, b'["\\"' + b"[" * 100_000]
)
def test_hostile_nesting_is_refused_without_being_parsed(body: bytes) -> None:
    assert code(body) in {"depth", "json"}


def test_brackets_in_a_text_are_no_nesting() -> None:
    body = json.dumps({"a": "[" * 1000, "b": '"[{' * 100}).encode()
    assert parse_json(body) == json.loads(body)


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert parse_json(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


@given(st.dictionaries(texts, texts | st.integers(-(2**63), 2**63) | st.lists(texts, max_size=3), max_size=4))
def test_every_other_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=50))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    try:
        value = parse_json(body)
    except Invalid:
        return
    assert value == json.loads(body)
