"""Heads that no request may have, and how little too much is."""

import pytest

from customary.api.head import MAXIMUM_HEADER_BYTES, MAXIMUM_URL_BYTES, flaw
from customary.api.http import Scope
from customary.errors import Failure, HeadersTooLarge, Invalid, UriTooLong

HOST = (b"host", b"customary.example")


def scope(
    *headers: tuple[bytes, bytes], path: bytes = b"/api/customers", query: bytes = b"", version: str = "1.1"
) -> Scope:
    return {
        "raw_path": path,
        "path": path.decode("latin-1"),
        "query_string": query,
        "headers": list(headers),
        "http_version": version,
    }


def code(found: Failure | None) -> str:
    assert isinstance(found, Invalid)
    return found.problems[0].code


@pytest.mark.parametrize(
    "host",
    [
        b"customary.example",
        b"customary.example:8000",
        b"customary.example:",
        b"127.0.0.1",
        b"[::1]",
        b"[2001:db8::1]:443",
        b"my_service",
        b"xn--mller-kva.example",
        b"%63ustomary",
        b"a!$&'()*+,;=~-._",
    ],
)
def test_hosts_that_are_taken(host: bytes) -> None:
    assert flaw(scope((b"host", host))) is None


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b"a b",
        b"a/b",
        b"a@b",
        b"http://a",
        b"a:b",
        b"a:80:80",
        b"a:123456",
        b"a:-1",
        b"::1",
        b"[::1",
        b"[]",
        b"[fe80::1%25eth0]",
        b"[v1.a]",
        b"%zz",
        b"a%4",
        b"a?b",
        b"a#b",
        b"a\\b",
        b'a"b',
        b"<a>",
        "müller".encode(),
        b"a\x00",
        b"a\n",
        b":80",
    ],
)
def test_hosts_that_are_none(host: bytes) -> None:
    assert code(flaw(scope((b"host", host)))) == "host"


def test_one_host_and_no_more() -> None:
    assert code(flaw(scope(HOST, HOST))) == "host"
    assert code(flaw(scope(HOST, (b"host", b"other.example")))) == "host"
    assert code(flaw(scope())) == "host"


@pytest.mark.parametrize("version", ["1", "1.0"])
def test_http_1_0_may_do_without_a_host(version: str) -> None:
    """The server passes on an empty one where there was none."""
    assert flaw(scope(version=version)) is None
    assert flaw(scope((b"host", b""), version=version)) is None
    assert flaw(scope(HOST, version=version)) is None
    assert code(flaw(scope((b"host", b"a b"), version=version))) == "host"
    assert code(flaw(scope(HOST, HOST, version=version))) == "host"


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED "])
def test_the_coding_that_is_read(coding: bytes) -> None:
    assert flaw(scope(HOST, (b"transfer-encoding", coding))) is None


@pytest.mark.parametrize(
    "codings",
    [[b"gzip, chunked"], [b"chunked, chunked"], [b"chunked", b"chunked"], [b"identity"], [b""], [b"xchunked"]],
)
def test_codings_that_are_not_read(codings: list[bytes]) -> None:
    assert code(flaw(scope(HOST, *((b"transfer-encoding", coding) for coding in codings)))) == "transferEncoding"


def test_the_longest_url() -> None:
    path = b"/" + b"p" * 1_000
    longest = MAXIMUM_URL_BYTES - len(path) - 1
    assert flaw(scope(HOST, path=path, query=b"q" * longest)) is None
    assert isinstance(flaw(scope(HOST, path=path, query=b"q" * (longest + 1))), UriTooLong)
    assert isinstance(flaw(scope(HOST, path=b"/" + b"p" * MAXIMUM_URL_BYTES)), UriTooLong)


def test_the_largest_headers() -> None:
    """Names, values and what stands between them count together, however many they are."""
    used = len(b"host: customary.example\r\n")
    largest = MAXIMUM_HEADER_BYTES - used - len(b"x: \r\n")
    assert flaw(scope(HOST, (b"x", b"y" * largest))) is None
    assert isinstance(flaw(scope(HOST, (b"x", b"y" * (largest + 1)))), HeadersTooLarge)
    assert isinstance(flaw(scope(HOST, (b"x" * (largest + 2), b""))), HeadersTooLarge)
    assert isinstance(flaw(scope(HOST, *[(b"x", b"y" * 200)] * 80)), HeadersTooLarge)
