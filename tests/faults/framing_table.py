"""All cases: what each way of being almost HTTP has to come to, at the server itself and behind a proxy."""

from collections.abc import Iterator

from msgspec.structs import replace
from tests.faults import framing_bodies, framing_heads
from tests.faults.framing import HOST, Case, Parts, chunked, sized

SPLIT = "length beyond 64 bits"
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


# Where a proxy may come to the other verdict, by the reason why nobody is harmed by it.
DIFFERENCES = {
    "RFC 9112, 6.3 lets a server read it as chunked or refuse it; read so, the connection ends after it.": [
        f"coding {name} {place} a length"
        for name in ("chunked", "in capitals", "after a tab", "before spaces", "without a space")
        for place in ("behind", "before")
    ],
    "RFC 9110, 8.6 lets a server make one of two lengths that are equal, or refuse them.": [
        "length twice the same",
        "length twice in other digits",
    ],
    "Some read it as zero, and what follows as a request that its sender means; so does the server that gets it.": [
        SPLIT
    ],
    "RFC 9112, 5.2 lets a server refuse a folded line or make one line of it.": [
        "coding space before the name",
        "coding space before the name before a length",
        "coding space before the name behind a length",
        "coding folded",
        "coding folded before a length",
        "coding folded behind a length",
        "chunk trailer folded",
        "host folded",
        "field folded",
        "field folded by a tab",
        "field with a space before its name",
    ],
    "RFC 9112, 2.2 lets a server take a line feed alone for the end of a line; what it sends on ends as it should.": [
        "chunk size line feed alone",
        "chunk with a line feed for the end of its data",
        "field ended by line feeds",
        "field ended by a line feed",
    ],
    "RFC 9112, 3 lets a server be lenient about what stands between the parts of the line.": [
        "method before a tab",
        "method before two spaces",
    ],
    "RFC 9110, 2.5 lets a server read a request of a version that it does not know.": [
        f"version {name}" for name in ("1.2", "2.0", "3.0", "9.9")
    ],
    "No server has to repair a target; none takes it for another one.": [
        f"target {name}"
        for name in (
            "whole, of another host",
            "with a fragment",
            "with a backslash",
            "with half an escape",
            "with a bad escape",
            "of a host alone",
            "of UTF-8",
            "star",
        )
    ],
    "A proxy may make one host of two that are equal.": ["host twice the same"],
    "A proxy may know fewer methods, and refuse a body or a connection that it could not forward.": [
        "method in lower case",
        "method in mixed case",
        "method with a mark",
        "method of a thousand letters",
        "method TRACE",
        "TRACE body of a length",
        "TRACE body in chunks",
        "protocol CONNECT",
    ],
    "RFC 9110, 10.1.1 lets a server refuse what it cannot expect.": ["expect something else"],
    "A proxy may read smaller headers.": ["size of 15 KiB"],
    "It is no request; a proxy may say so.": ["nonsense behind a body"],
    "A proxy may speak HTTP/2, in which this is no request.": ["protocol HTTP/2"],
}


def cases(parts: Parts) -> list[Case]:
    """All cases, for the key of these parts."""
    made = [
        *framing_bodies.cases(parts),
        *framing_heads.cases(parts),
        *_sequences(parts),
        *_bodies_of_others(parts),
        *_expectations(parts),
        *_other_protocols(parts),
    ]
    reasons = {name: reason for reason, names in DIFFERENCES.items() for name in names}
    names = {case.name for case in made}
    assert len(names) == len(made), "two cases have one name"
    assert reasons.keys() <= names, reasons.keys() - names
    return [replace(case, differs=reasons.get(case.name, ""), is_split=case.name == SPLIT) for case in made]


def _sequences(parts: Parts) -> Iterator[Case]:
    """Several requests on one connection."""
    get, post = parts.list + b"\r\n", sized(parts.create, parts.honest)
    yield Case(name="one request", sent=get, statuses=(200,))
    yield Case(name="two requests", sent=get + get, statuses=(200, 200))
    yield Case(name="twenty requests", sent=get * 20, statuses=(200,) * 20)
    yield Case(name="a change and a look", sent=post + get, statuses=(201, 200))
    yield Case(name="two changes", sent=post + post, statuses=(201, 201))
    yield Case(name="a chunked change and a look", sent=_chunked(parts, parts.honest) + get, statuses=(201, 200))
    yield Case(name="empty lines before", sent=b"\r\n\r\n" + get, statuses=(200,))
    yield Case(name="empty lines between", sent=post + b"\r\n" + get, statuses=(201, 200))
    refused = sized(parts.create.replace(parts.authorization, b""), parts.smuggled)
    yield Case(name="a body that nobody read", sent=refused + get, statuses=(401, 200))
    yield Case(name="a body with a request in it", sent=sized(parts.create, parts.smuggled) + get, statuses=(400, 200))
    yield Case(name="a chunk with a request in it", sent=_chunked(parts, parts.smuggled) + get, statuses=(400, 200))
    large = sized(parts.create, parts.smuggled * 3_000)
    yield Case(name="too large a body full of requests", sent=large + get, statuses=(413,), is_last=True)
    large = sized(parts.create.replace(parts.authorization, b""), parts.smuggled * 300)
    yield Case(name="a large body of a stranger full of requests", sent=large + get, statuses=(401,), is_last=True)
    closing = parts.list + b"Connection: close\r\n\r\n"
    yield Case(name="a request behind the last", sent=closing + parts.smuggled, statuses=(200,), is_last=True)
    yield Case(name="nonsense behind a body", sent=post + b"nonsense", statuses=(201,), is_cut=True)
    yield Case(name="a body that is cut", sent=sized(parts.create, parts.honest)[:-1], is_cut=True)
    cut = parts.create + b"Content-Length: 500\r\n\r\n" + parts.honest
    yield Case(name="a whole customer in a body that is cut", sent=cut, is_cut=True)
    stopped = parts.create.replace(HOST, b"Host: a b\r\n") + b"Content-Length: 5000\r\n\r\n" + parts.smuggled
    yield Case(name="a body that stops behind a refused head", sent=stopped)
    stopped = parts.create.replace(parts.authorization, b"") + b"Content-Length: 5000\r\n\r\n" + parts.smuggled
    yield Case(name="a body of a stranger that stops", sent=stopped, statuses=(401,), is_last=True)
    yield Case(name="a head that is cut", sent=parts.list, is_cut=True)
    yield Case(name="a line that is cut", sent=b"GET /api", is_cut=True)
    yield Case(name="nothing", sent=b"", is_cut=True)


def _chunked(parts: Parts, body: bytes) -> bytes:
    return parts.create + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body)


def _bodies_of_others(parts: Parts) -> Iterator[Case]:
    """Bodies where none belongs: read past, and never for a request."""
    for method, status in {"GET": 200, "HEAD": 405, "OPTIONS": 405, "DELETE": 405, "TRACE": 405}.items():
        head = parts.list.replace(b"GET /api/customers?limit=1", f"{method} /api/customers".encode())
        is_head = method == "HEAD"
        for name, sent in {
            "of a length": sized(head, parts.smuggled),
            "in chunks": head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(parts.smuggled),
        }.items():
            yield Case(name=f"{method} body {name}", sent=sent, statuses=(status,), is_head=is_head)
    archive = parts.create.replace(b"/api/customers", b"/api/customers/01a1facc-35ad-7467-ab73-16626f891b76/archive")
    yield Case(name="a body for an endpoint that has none", sent=sized(archive, parts.smuggled), statuses=(404,))
    unread = parts.list.replace(b"/api/customers?limit=1", b"/healthz")
    yield Case(name="a body for the health check", sent=sized(unread, parts.smuggled), statuses=(200,))


def _expectations(parts: Parts) -> Iterator[Case]:
    """What a client asks for before it goes on."""
    honest = b"Content-Length: %d\r\n\r\n" % len(parts.honest) + parts.honest
    yield Case(name="expect to continue", sent=parts.create + b"Expect: 100-continue\r\n" + honest, statuses=(201,))
    stranger = parts.create.replace(parts.authorization, b"") + b"Expect: 100-continue\r\n"
    yield Case(
        name="expect to continue as a stranger", sent=sized(stranger, parts.smuggled), statuses=(401,), is_last=True
    )
    yield Case(
        name="expect to continue without a body", sent=parts.list + b"Expect: 100-continue\r\n\r\n", statuses=(200,)
    )
    yield Case(
        name="expect something else",
        sent=parts.create + b"Expect: a-miracle\r\n" + honest,
        statuses=(201,),
    )
    for name, fields in {
        "to websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "to HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "to TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        "without a protocol": b"Connection: Upgrade\r\n",
    }.items():
        yield Case(name=f"upgrade {name}", sent=parts.list + fields + b"\r\n", statuses=(200,))


def _other_protocols(parts: Parts) -> Iterator[Case]:
    """What is no HTTP/1 at all, with a request behind it."""
    for name, sent in {
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "SMTP": b"EHLO customary.example\r\n",
        "PROXY 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "JSON": b'{"legalName":"Acme"}\r\n',
        "zero bytes": bytes(1_000),
        "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    }.items():
        yield Case(name=f"protocol {name}", sent=sent + parts.smuggled)
    yield Case(name="protocol HTTP/2", sent=_HTTP2_PREFACE + parts.smuggled)
    connect = b"CONNECT customary.example:80 HTTP/1.1\r\n" + parts.fields + b"\r\n"
    yield Case(name="protocol CONNECT", sent=connect, statuses=(404,))
