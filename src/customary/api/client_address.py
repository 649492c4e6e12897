"""Where a request comes from: the other end of the connection, or what a proxy that is trusted says of it."""

from collections.abc import Sequence

from customary.api.http import Request
from customary.connectors.addresses import Address, Network, is_listed, parse_address

_FORWARDED_FOR = b"x-forwarded-for"


def client_address(request: Request, trusted: Sequence[Network]) -> Address | None:
    """The address of the caller; None where nobody knows it, as over a socket without addresses.

    Anybody can send `X-Forwarded-For`, so it counts only where the peer is a trusted proxy, and only as far as trusted
    ones wrote it: from the right, up to the first address that is not one of theirs.
    """
    address = None if request.peer is None else parse_address(request.peer)
    if address is None or not trusted or not is_listed(address, trusted):
        return address
    for hop in reversed(b",".join(request.headers.get(_FORWARDED_FOR, ())).split(b",")):
        text = hop.strip().decode("latin-1")
        if not text:
            continue
        address = parse_address(_without_port(text))
        if address is None or not is_listed(address, trusted):
            return address
    return address


def _without_port(text: str) -> str:
    """The address of `1.2.3.4:567` and `[2001:db8::1]:567`, as some proxies write them."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
