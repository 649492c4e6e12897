"""X-Forwarded-For: whatever a caller writes into it, it comes from where the outermost trusted proxy saw it."""

from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Any

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target

from customary.api.client_address import client_address
from customary.api.http import request_from
from customary.connectors.addresses import parse_networks

_TRUSTED = parse_networks("10.0.0.0/8,fd00::/8")
_PROXIES = ("10.0.0.1", "10.255.0.1", "fd00::1", "::ffff:10.0.0.1")
_STRANGERS = ("203.0.113.9", "192.168.1.1", "2001:db8::1", "::ffff:8.8.8.8", "11.0.0.1")
_WAYS_TO_WRITE = ("{}", " {} ", "[{}]:443", "[{}]")


async def _nothing() -> MutableMapping[str, Any]:
    message = "an address needs no body"
    raise AssertionError(message)


def check(data: bytes) -> None:
    """Let a caller send any bytes, and trusted proxies add where they have them from."""
    draw = Draw(data)
    caller = draw.choice(_STRANGERS)
    proxies = [draw.choice(_PROXIES) for _ in range(draw.number(3))]
    way = draw.choice(_WAYS_TO_WRITE if ":" in caller else ("{}", " {} ", "{}:443"))
    values = [draw.take(draw.byte()) for _ in range(draw.number(3))]
    # Each proxy adds who spoke to it: the first of them the caller. Who speaks to us is the peer.
    hops = [way.format(caller), *proxies][: len(proxies)]
    added = [hop.encode() for hop in hops]
    if added and draw.one_in(2):
        values.append(b",".join(added))
    else:
        values.extend(added)
    peer = proxies[-1] if proxies else caller
    found = client_address(_request(peer, values), _TRUSTED)
    assert found == ip_address(caller), f"{values!r} from {peer} was taken for {found} instead of {caller}"
    client_address(_request(peer, [draw.rest()]), _TRUSTED)
    assert client_address(_request(peer, values), ()) == ip_address(peer), (
        "without a trusted proxy only the peer counts"
    )


def _request(peer: str, values: list[bytes]) -> Any:  # noqa: ANN401 - a request
    headers = [(b"X-Forwarded-For", value) for value in values]
    scope = {"type": "http", "method": "GET", "raw_path": b"/", "path": "/", "query_string": b"", "headers": headers}
    return request_from(scope | {"client": (peer, 1)}, _nothing)


_SEEDS = (
    b"",
    b"\0\0\0\x01\x0910.0.0.1,",
    b"\x01\x01\0\0\x01\x07unknown\0",
    b"\x02\x02\0\x01\x02\x02\x0b2001:db8::1\x05[::1]\xffrest",
    b"\x03\x03\0\x01\x02\x03\x03\x09127.0.0.1\x01,\x02\xff,\x01",
    b"\x04\x01\x03\x01\x01\x04for=\0",
)
_WORDS = (b",", b"10.0.0.1", b"[::1]:1", b"unknown", b"\t", b"fd00::2", b":", b"]", b"%", b"0x7f.1", b"\xa0")
TARGET = Target(name="forwarding", check=check, seeds=_SEEDS, words=_WORDS)
