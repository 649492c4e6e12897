"""Whose address a request comes from: the peer's, unless that is a proxy which is trusted to tell."""

import pytest

from customary.api.client_address import client_address
from customary.api.http import Request
from customary.connectors.addresses import parse_networks
from customary.errors import SetupError

PROXIES = parse_networks("10.0.0.0/8,2001:db8:1::/48")


async def nothing() -> dict[str, object]:
    return {}


def request(peer: str | None, *forwarded: bytes) -> Request:
    return Request("GET", (), b"", {b"x-forwarded-for": list(forwarded)}, nothing, peer)


def seen(peer: str | None, *forwarded: bytes, trusts: bool = True) -> str | None:
    address = client_address(request(peer, *forwarded), PROXIES if trusts else ())
    return None if address is None else str(address)


@pytest.mark.parametrize("trusts", [True, False])
@pytest.mark.parametrize("said", [b"203.0.113.9", b"10.0.0.1", b"", b"nonsense", b"203.0.113.9, 10.0.0.1"])
def test_what_a_stranger_says_of_its_address_is_ignored(said: bytes, trusts: bool) -> None:
    assert seen("198.51.100.1", said, trusts=trusts) == "198.51.100.1"


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert seen("10.0.0.1", b"203.0.113.9", trusts=False) == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ((b"203.0.113.9",), "203.0.113.9"),
        ((b" 203.0.113.9 ",), "203.0.113.9"),
        ((b"2001:db8::5",), "2001:db8::5"),
        ((b"203.0.113.9:4711",), "203.0.113.9"),
        ((b"[2001:db8::5]:4711",), "2001:db8::5"),
        ((b"[2001:db8::5]",), "2001:db8::5"),
        # What a client wrote itself stands left of what the first trusted proxy saw.
        ((b"203.0.113.9, 198.51.100.1",), "198.51.100.1"),
        ((b"203.0.113.9", b"198.51.100.1"), "198.51.100.1"),
        # Behind several trusted ones.
        ((b"198.51.100.1, 203.0.113.9, 10.2.2.2",), "203.0.113.9"),
        ((b"198.51.100.1, 203.0.113.9, 2001:db8:1::7",), "203.0.113.9"),
        ((b"203.0.113.9", b"10.2.2.2"), "203.0.113.9"),
        ((b"203.0.113.9, ::ffff:10.2.2.2",), "203.0.113.9"),
        # A request of a trusted machine itself.
        ((b"10.3.3.3, 10.2.2.2",), "10.3.3.3"),
        ((), "10.0.0.1"),
        ((b"",), "10.0.0.1"),
        # What is no address is nobody's, whatever stands left of it.
        ((b"203.0.113.9, unknown",), None),
        ((b"203.0.113.9, \xff",), None),
        ((b"203.0.113.9, 0x7f.1",), None),
        ((b"203.0.113.9, unknown, 10.2.2.2",), None),
    ],
)
def test_a_trusted_proxy_is_believed_as_far_as_trusted_ones_wrote(
    forwarded: tuple[bytes, ...], address: str | None
) -> None:
    assert seen("10.0.0.1", *forwarded) == address


def test_a_peer_that_writes_ipv4_in_ipv6_is_the_same() -> None:
    assert seen("::ffff:10.0.0.1", b"203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize("peer", [None, "", "/run/customary.sock"])
def test_a_peer_without_an_address_is_nobody(peer: str | None) -> None:
    assert seen(peer, b"203.0.113.9") is None


def test_a_list_that_cannot_be_read_names_its_setting() -> None:
    with pytest.raises(SetupError, match=r"^CUSTOMARY_TRUSTED_PROXIES has '10\.0\.0\.1/8'.*is 10\.0\.0\.0/8\.$"):
        parse_networks("10.0.0.1/8", "CUSTOMARY_TRUSTED_PROXIES")
