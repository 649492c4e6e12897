"""The bytes that never reach a parser or a database."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.api.guard import MAXIMUM_BODY_BYTES, MAXIMUM_DEPTH, MAXIMUM_VALUES, parse_json
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
        (b'{"a": 1e400}', "json"),
        (b'{"a": -1e400}', "json"),
        (b'{"a": 1e' + b"9" * 400 + b"}", "json"),
        (b'{"a": ' + b"9" * 4_301 + b"}", "json"),
        (b'{"a": -Infinity}', "json"),
        (b'{"a": +1}', "json"),
        (b'{"a": 01}', "json"),
        (b'{"a": 1.}', "json"),
        (b'{"a": .5}', "json"),
        (b'{"a": 0x1}', "json"),
        (b'{"a": 1 /* one */}', "json"),
        (b'{"a": "\\x41"}', "json"),
        (b'{"a": "\\u12"}', "json"),
        (b'{"a": "\\uD83D"}', "json"),
        (b'{"a": True}', "json"),
        (b"{1: 1}", "json"),
        (b'{"a" 1}', "json"),
        (b'{"a": 1 "b": 2}', "json"),
        (b'["a", "a"] "a"', "json"),
        (b'{"a": 1, "b": {"a": 2, "c": [{"a": 3, "a": 4}]}}', "json"),
        (b'{"": 1, "": 2}', "json"),
        (b"\xef\xbb\xbf{}", "json"),
        (b'{"a": "\xff"}', "encoding"),
        (b'{"a": "\xed\xa0\x80"}', "encoding"),
        (b'{"a": "\xc0\x80"}', "encoding"),
        (b'{"a": "\xe0\x80\xaf"}', "encoding"),
        (b'{"a": "\xf0\x80\x80\x80"}', "encoding"),
        (b'{"a": "\xed\xa0\xbd\xed\xb8\x80"}', "encoding"),
        (b'{"a": "\xf4\x90\x80\x80"}', "encoding"),
        (b'{"a": "\xc3"}', "encoding"),
        (b'{"\xff": 1}', "encoding"),
        (b'{"unknown": {"\x80": 1}}', "encoding"),
        (b"\xff\xfe{\0}\0", "encoding"),
        (b"\xfe\xff\0{\0}", "encoding"),
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
    "body",
    [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'"\\' * 10 + b"[" * 100_000,
        b'["\\"' + b"[" * 100_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b"[{" * 1_000,
    ],
)
def test_hostile_nesting_is_refused_without_being_parsed(body: bytes) -> None:
    assert code(body) in {"depth", "json", "values"}


def test_the_most_values_that_are_read() -> None:
    """What stands in texts does not count, and neither do the brackets of what is refused for its depth."""
    most = MAXIMUM_VALUES
    assert parse_json(b"[" + b",".join([b"1"] * most) + b"]") == [1] * most
    assert code(b"[" + b",".join([b"1"] * (most + 1)) + b"]") == "values"
    assert code(b"[" + b",".join([b"{}"] * most) + b"]") == "values"
    many = json.dumps({f"key {number}": "a,b:[]{},,," for number in range(most)}).encode()
    assert len(parse_json(many)) == most  # pyright: ignore[reportArgumentType] - it is an object
    assert code(b"[" + b'"",' * 100_000 + b'""]') == "values"


# 1 MiB of each kind of work that a parser or the guard does not find easy.
HARD = {
    "escaped quotes": b"[" * 70 + b'"\\' * 500_000,
    "quotes": b'"' * MAXIMUM_BODY_BYTES,
    "backslashes": b'["' + b"\\" * (MAXIMUM_BODY_BYTES - 4) + b'"]',
    "open brackets": b"[" * MAXIMUM_BODY_BYTES,
    "closed brackets": b"[" * 70 + b"]" * 1_000_000,
    "empty lists": b"[" + b"[]," * 300_000 + b"[]]",
    "lists at the deepest": b"[" + b",".join([b"[" * 63 + b"]" * 63] * 300) + b"]",
    "empty objects": b"[" + b",".join([b"{}"] * 9_990) + b"]",
    "one key again and again": b"{" + b",".join([b'"a":1'] * 19_990) + b"}",
    "a hundred thousand keys": json.dumps(dict.fromkeys(map(str, range(80_000)), 1)).encode(),
    "long numbers": b"[" + b",".join([b"9" * 4_300] * 240) + b"]",
    "one long number": b"[" + b"9" * 1_000_000 + b"]",
    "one long fraction": b"[0." + b"9" * 1_000_000 + b"]",
    "one long exponent": b"[1e" + b"9" * 1_000_000 + b"]",
    "fractions that are hard to round": b"[" + b",".join([b"8.98846567431158e307"] * 19_990) + b"]",
    "long fractions": b"[" + b",".join([b"1." + b"0" * 700 + b"1e-300"] * 1_400) + b"]",
    "one long text": b'["' + b"x" * 1_000_000 + b'"]',
    "escapes": b'["' + b"\\u00e9" * 170_000 + b'"]',
    "nothing but space": b" " * MAXIMUM_BODY_BYTES,
}


@pytest.mark.parametrize("name", HARD)
def test_no_body_keeps_the_process_busy(name: str) -> None:
    """It serves others as well.

    In processor time, and with a wide margin: these take 25 ms at the most, and a text that is looked for again from
    each of its quotes would take an hour.
    """
    body = HARD[name]
    assert len(body) <= MAXIMUM_BODY_BYTES

    def seconds() -> float:
        started = time.thread_time()
        with contextlib.suppress(Invalid):
            parse_json(body)
        return time.thread_time() - started

    assert min(seconds() for _ in range(3)) < 0.25


def test_brackets_in_a_text_are_no_nesting() -> None:
    body = json.dumps({"a": "[" * 1000, "b": '"[{' * 100}).encode()
    assert parse_json(body) == json.loads(body)


def test_the_key_that_stands_twice_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        parse_json(b'{"address": {"town": "Bath", "t\\u006fwn": "Wells"}}')
    assert "'town'" in refused.value.message


def test_keys_that_only_look_alike_are_different_keys() -> None:
    value = {"a": 1, "A": 2, "\u00e9": 3, "e\u0301": 4, "__proto__": {"constructor": 5}}
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(b'{"a:b": {"a": ":"}, "c": [{"a": 1}, {"a": 2}]}') == {
        "a:b": {"a": ":"},
        "c": [{"a": 1}, {"a": 2}],
    }


def test_numbers_are_what_they_say() -> None:
    value = parse_json(b"[-0, 1e3, 1E-2, -0.0, 1e-400, 9007199254740993, 18446744073709551616]")
    assert value == [0, 1000.0, 0.01, 0.0, 0.0, 9007199254740993, 18446744073709551616]
    assert [type(each) for each in value[:2]] == [int, float]  # pyright: ignore[reportIndexIssue] - it is a list
    assert parse_json(b"9" * 4_300) == int("9" * 4_300)


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
