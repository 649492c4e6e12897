"""The cases whose request line or headers are not as they should be."""

from collections.abc import Iterator
from typing import Unpack

from tests.faults.framing import HOST, JSON, NUMBER, Case, Parts, Verdict, sized


def cases(parts: Parts) -> Iterator[Case]:
    """Request lines, hosts and other headers."""
    yield from _methods(parts)
    yield from _targets(parts)
    yield from _versions(parts)
    yield from _hosts(parts)
    yield from _fields(parts)
    yield from _sizes(parts)


def _methods(parts: Parts) -> Iterator[Case]:
    def case(name: str, method: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(
            name=f"method {name}", sent=method + b" /api/customers HTTP/1.1\r\n" + parts.fields + b"\r\n", **verdict
        )

    for name, method in {
        "in lower case": b"get",
        "in mixed case": b"Get",
        "unknown": b"FROBNICATE",
        "with a mark": b"G!T",
        "PATCH": b"PATCH",
        "DELETE": b"DELETE",
        "OPTIONS": b"OPTIONS",
        "TRACE": b"TRACE",
        "of a thousand letters": b"G" * 1_000,
    }.items():
        yield case(name, method, statuses=(405,))
    yield case("HEAD", b"HEAD", statuses=(405,), is_head=True)
    for name, method in {
        "with an at sign": b"G@T",
        "with a zero byte": b"G\x00T",
        "with a colon": b"GET:",
        "with a brace": b"{GET}",
        "behind a space": b" GET",
        "behind a tab": b"\tGET",
        "before a tab": b"GET\t",
        "not of ASCII": "GÉT".encode(),
        "empty": b"",
        "before two spaces": b"GET ",
    }.items():
        yield case(name, method)


def _targets(parts: Parts) -> Iterator[Case]:
    def case(name: str, target: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(name=f"target {name}", sent=b"GET " + target + b" HTTP/1.1\r\n" + parts.fields + b"\r\n", **verdict)

    found = {
        "whole": b"http://customary.example/api/customers",
        "with a question mark at its end": b"/api/customers?",
        "with two question marks": b"/api/customers??",
        "with an escaped letter": b"/%61pi/customers",
        "with an escaped letter behind": b"/api/%63ustomers",
    }
    for name, target in found.items():
        yield case(name, target, statuses=(200,))
    yield case("whole, of another host", b"http://other.example/api/customers", statuses=(200,))
    yield case("with a fragment", b"/api/customers#part", statuses=(200,))
    missing = {
        "with two slashes": b"//api/customers",
        "with two slashes inside": b"/api//customers",
        "with a slash behind": b"/api/customers/",
        "with dots": b"/api/../api/customers",
        "with escaped dots": b"/api/%2e%2e/api/customers",
        "with an escaped slash": b"/api%2Fcustomers",
        "with an escaped zero byte": b"/api/customers%00",
        "with a byte that is no text": b"/api/customers/%ff",
        "with an escaped end of line": b"/api/customers%0d%0aX:%20y",
        "with half an escape": b"/api/customers%",
        "with a bad escape": b"/api/customers%zz",
        "with a semicolon": b"/api/customers;x=y",
        "with a backslash": b"/api\\customers",
    }
    for name, target in missing.items():
        yield case(name, target, statuses=(404,))
    yield case("of a host alone", b"customary.example:80", statuses=(404,))
    yield case("star", b"*", statuses=(404,))
    yield case("of UTF-8", "/api/é".encode(), statuses=(404,))
    yield case("with a query of no text", b"/api/customers?limit=%ff", statuses=(400,))
    yield case("of 8 KiB", b"/api/customers?x=" + b"y" * 8_150, statuses=(200,))
    for name, target in {
        "with a space": b"/api/ customers",
        "with a zero byte": b"/api/\x00customers",
        "with a tab": b"/api/\tcustomers",
        "with an escape character": b"/api/\x1bcustomers",
        "with a byte of no text": b"/api/\xff",
        "without a slash": b"api/customers",
        "of another scheme": b"://",
        "empty": b"",
        "of 8 KiB and a little": b"/api/customers?x=" + b"y" * 8_300,
        "of 60 KB": b"/api/customers?x=" + b"y" * 60_000,
        "of 100 KB": b"/api/customers?x=" + b"y" * 100_000,
        "of a megabyte": b"/" + b"y" * 1_000_000,
        "of eight thousand parameters": b"/api/customers?" + b"a=&" * 8_000,
    }.items():
        yield case(name, target)


def _versions(parts: Parts) -> Iterator[Case]:
    def case(name: str, end: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(
            name=f"version {name}", sent=b"GET /api/customers" + end + b"\r\n" + parts.fields + b"\r\n", **verdict
        )

    yield case("1.0", b" HTTP/1.0", statuses=(200,), is_last=True)
    kept = parts.fields + b"Connection: keep-alive\r\n\r\n"
    yield Case(name="version 1.0 kept alive", sent=b"GET /api/customers HTTP/1.0\r\n" + kept, statuses=(200,))
    without_host = parts.fields.replace(HOST, b"") + b"\r\n"
    yield Case(
        name="version 1.0 without a host",
        sent=b"GET /api/customers HTTP/1.0\r\n" + without_host,
        statuses=(200,),
        is_last=True,
    )
    for name, end in {
        "0.9": b"",
        "0.9 with a name": b" HTTP/0.9",
        "1.2": b" HTTP/1.2",
        "1.10": b" HTTP/1.10",
        "1.": b" HTTP/1.",
        "1": b" HTTP/1",
        "01.1": b" HTTP/01.1",
        "2.0": b" HTTP/2.0",
        "3.0": b" HTTP/3.0",
        "9.9": b" HTTP/9.9",
        "in lower case": b" http/1.1",
        "of another protocol": b" ICY/1.1",
        "with a letter": b" HTTP/1.x",
        "with a comma": b" HTTP/1,1",
        "before a space": b" HTTP/1.1 ",
        "before a zero byte": b" HTTP/1.1\x00",
        "before more": b" HTTP/1.1 HTTP/1.1",
        "before a carriage return": b" HTTP/1.1\rX: y",
    }.items():
        yield case(name, end)


def _hosts(parts: Parts) -> Iterator[Case]:
    rest = parts.fields.replace(HOST, b"") + b"\r\n"

    def case(name: str, fields: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(name=f"host {name}", sent=b"GET /api/customers HTTP/1.1\r\n" + fields + rest, **verdict)

    for name, host in {
        "with a port": b"customary.example:8000",
        "with an empty port": b"customary.example:",
        "address": b"127.0.0.1:80",
        "address of version 6": b"[::1]:8000",
        "with an underscore": b"my_service",
        "in capitals": b"CUSTOMARY.EXAMPLE",
        "escaped": b"%63ustomary.example",
    }.items():
        yield case(name, b"Host: " + host + b"\r\n", statuses=(200,))
    yield case("missing", b"")
    yield case("twice the same", HOST + HOST)
    yield case("twice", HOST + b"Host: other.example\r\n")
    yield case("twice in two cases", HOST + b"HOST: other.example\r\n")
    yield case("twice, one empty", HOST + b"Host:\r\n")
    for name, host in {
        "empty": b"",
        "with a space": b"customary example",
        "with a path": b"customary.example/x",
        "with a user": b"user@customary.example",
        "with a scheme": b"http://customary.example",
        "list": b"customary.example, other.example",
        "with a port that is none": b"customary.example:http",
        "with two ports": b"customary.example:80:80",
        "with a port of ten digits": b"customary.example:1234567890",
        "with an open bracket": b"[::1",
        "with a question mark": b"customary.example?",
        "with a number sign": b"customary.example#",
        "with a backslash": b"customary\\example",
        "with a half escape": b"customary%4.example",
        "not of ASCII": "müller.example".encode(),
        "with a bracket of no address": b"[customary]",
    }.items():
        yield case(name, b"Host: " + host + b"\r\n")
    yield case("with a space before the colon", b"Host : customary.example\r\n")
    yield case("folded", b"Host:\r\n customary.example\r\n")
    yield case("with a zero byte", b"Host: customary\x00.example\r\n")


def _fields(parts: Parts) -> Iterator[Case]:
    def case(name: str, fields: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(name=f"field {name}", sent=parts.list + fields + b"\r\n", **verdict)

    for name, fields in {
        "empty": b"X:\r\n",
        "with much space": b"X: \t  y \t \r\n",
        "of bytes over 127": b"X: \xe9\xff\r\n",
        "of UTF-8": "X: é\r\n".encode(),
        "with marks in its name": b"!#$%&'*+-.^_`|~: y\r\n",
        "with a tab": b"X: a\tb\r\n",
        "twice": b"X: y\r\nX: z\r\n",
        "that claims another address": b"X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
        "that claims another host": b"X-Forwarded-Host: other.example\r\nX-Forwarded-Proto: https\r\n",
        "that claims another method": b"X-HTTP-Method-Override: DELETE\r\n",
        "that names a hop": b"Connection: X-Request-Id\r\n",
    }.items():
        yield case(name, fields, statuses=(200,))
    ended = parts.list.replace(b"\r\n", b"\n") + b"\n"
    yield Case(name="field ended by line feeds", sent=ended, statuses=(200,))
    yield case("ended by a line feed", b"X: y\n", statuses=(200,))
    for name, fields in {
        "with a zero byte": b"X: a\x00b\r\n",
        "with a carriage return": b"X: a\rb\r\n",
        "with an escape character": b"X: a\x1bb\r\n",
        "with a delete character": b"X: a\x7fb\r\n",
        "folded": b"X: a\r\n b\r\n",
        "folded by a tab": b"X: a\r\n\tb\r\n",
        "without a colon": b"nonsense\r\n",
        "without a name": b": y\r\n",
        "of a colon": b":\r\n",
        "with a space before the colon": b"X : y\r\n",
        "with a space in its name": b"X Y: z\r\n",
        "with a space before its name": b" X: y\r\n",
        "with a zero byte in its name": b"X\x00: y\r\n",
        "with a bracket in its name": b"X(: y\r\n",
        "with a name not of ASCII": "É: y\r\n".encode(),
        "with two ends": b"X: y\r\r\n",
    }.items():
        yield case(name, fields)
    first = parts.list.partition(b"\r\n")
    yield Case(name="field first, behind a space", sent=first[0] + b"\r\n X: y\r\n" + first[2] + b"\r\n")
    yield Case(name="field ended by carriage returns", sent=parts.list.replace(b"\r\n", b"\r") + b"\r")


def _sizes(parts: Parts) -> Iterator[Case]:
    def case(name: str, fields: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(name=f"size of {name}", sent=parts.list + fields + b"\r\n", **verdict)

    yield case("ninety headers", b"X: y\r\n" * 90, statuses=(200,))
    yield case("15 KiB", b"X: " + b"y" * 15_000 + b"\r\n", statuses=(200,))
    for name, fields in {
        "a hundred headers too many": b"X: y\r\n" * 101,
        "a thousand headers": b"X: y\r\n" * 1_000,
        "100,000 headers": b"X: y\r\n" * 100_000,
        "16 KiB in one": b"X: " + b"y" * 16_384 + b"\r\n",
        "16 KiB in many": (b"X: " + b"y" * 200 + b"\r\n") * 80,
        "60 KB": b"X: " + b"y" * 60_000 + b"\r\n",
        "300 KB": b"X: " + b"y" * 300_000 + b"\r\n",
        "a name of 20 KB": b"X" * 20_000 + b": y\r\n",
        "a name of 70 KB": b"X" * 70_000 + b": y\r\n",
        "credentials of 100 KB": b"X: " + b"y" * 100_000 + b"\r\n",
    }.items():
        yield case(name, fields)
    body = sized(parts.create + b"X: " + b"y" * 20_000 + b"\r\n", parts.smuggled)
    yield Case(name="size of headers before a body", sent=body)
    bad_type = parts.create.replace(JSON, b"Content-Type: text/plain\r\n")
    yield Case(name="size of a refused body", sent=sized(bad_type, parts.smuggled), statuses=(415,))
    assert NUMBER in body
