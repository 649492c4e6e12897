"""What must hold of the head of a request before anything else looks at it: one host, one framing, sizes that fit.

The HTTP server refuses what it cannot read at all, and more than a hundred headers. What it lets pass and another
server on the way could read differently is refused here.
"""

import re

from customary.api.http import Scope
from customary.errors import Failure, HeadersTooLarge, Invalid, Problem, UriTooLong

MAXIMUM_URL_BYTES = 8 * 1024
MAXIMUM_HEADER_BYTES = 16 * 1024

_LINE_BYTES = len(b": \r\n")  # what each header takes besides its name and value
_OLD_VERSIONS = frozenset({"1", "1.0"})
# RFC 3986, 3.2.2 and 3.2.3: an address in brackets or a name, and a port.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?")


def flaw(scope: Scope) -> Failure | None:
    """Why a request with this head is not answered; None if it may be."""
    url_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) + 1
    if url_bytes > MAXIMUM_URL_BYTES:
        return UriTooLong(f"The path and the query are longer than {MAXIMUM_URL_BYTES} bytes, the most that is read.")
    header_bytes = 0
    hosts: list[bytes] = []
    codings: list[bytes] = []
    for name, value in scope["headers"]:
        header_bytes += len(name) + len(value) + _LINE_BYTES
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if header_bytes > MAXIMUM_HEADER_BYTES:
        message = f"The headers are larger than {MAXIMUM_HEADER_BYTES} bytes, the most that is read."
        return HeadersTooLarge(message)
    return _host_flaw(hosts, scope["http_version"]) or _framing_flaw(codings)


def _host_flaw(hosts: list[bytes], http_version: str) -> Failure | None:
    """RFC 9112, 3.2: exactly one `Host`, which only HTTP/1.0 may leave out. The server passes on an empty one then."""
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return None
    if http_version in _OLD_VERSIONS and hosts in ([], [b""]):
        return None
    message = "The request needs exactly one Host header with the name or address, and the port, that it is sent to."
    return Invalid(message, (Problem("", "host", message),))


def _framing_flaw(codings: list[bytes]) -> Failure | None:
    """A body in another coding would be read as something else by whoever does not know it."""
    if not codings or (len(codings) == 1 and codings[0].strip().lower() == b"chunked"):
        return None
    message = "The only Transfer-Encoding that is read is chunked, named once."
    return Invalid(message, (Problem("", "transferEncoding", message),))
