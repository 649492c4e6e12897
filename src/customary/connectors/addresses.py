"""Which addresses may be connected to: those of the public internet, and what an operator allows beside them.

`ipaddress` has `is_global`, which is true for addresses that lead to private ones through a translator or a tunnel, and
differs from one release of Python to the next. What counts here is our own, from the registries of IANA
(iana-ipv4-special-registry, iana-ipv6-special-registry and ipv6-address-space).
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from customary.errors import SetupError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers, and where some clouds keep their metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a public address that is Azure's own services inside each of its machines
        "169.254.0.0/16",  # link-local, and where most clouds keep their metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and where Oracle keeps its metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# All that is given out to the public. Loopback, private, link-local, site-local and multicast addresses, those that are
# IPv4 in disguise, segment identifiers (5f00::/16) and whatever is reserved are outside.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, hash identities
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
# A translator takes these to the IPv4 address in their last 32 bits. That of 64:ff9b:1::/48 depends on how the network
# at hand cuts it, and it is for private ones: it is outside the global addresses and stays there.
_TRANSLATED = IPv6Network("64:ff9b::/96")
# Interface identifiers of ISATAP, before the IPv4 address that a tunnel goes to.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def parse_networks(text: str, setting: str = "CUSTOMARY_WEBHOOK_ALLOW") -> tuple[Network, ...]:
    """The networks that a list with commas names; an address alone is a network of one.

    Raises `SetupError`, which names the setting that the list is from.
    """
    return tuple(_network(part, setting) for each in text.split(",") if (part := each.strip()))


@lru_cache(maxsize=4096)  # most callers come again, and reading one takes as long as letting its request in
def parse_address(text: str) -> Address | None:
    """The address that is written here in the canonical notation; None for everything else, names among it."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether this address may be connected to: it is public, or in a network that an operator allows."""
    return is_public(address) or is_listed(address, allowed)


def is_listed(address: Address, networks: Sequence[Network]) -> bool:
    """Whether this address is in one of these networks, an IPv4 address in IPv6's notation as what it is."""
    plain = _unmapped(address)
    return any(plain in network for network in networks)


def is_public(address: Address) -> bool:
    """Whether this is an address of the public internet, and leads to no other one that is none."""
    plain = _unmapped(address)
    if isinstance(plain, IPv4Address):
        return not any(plain in network for network in _NOT_PUBLIC_IPV4)
    if plain in _TRANSLATED:
        return is_public(_last_32_bits(plain))
    is_global = plain.scope_id is None and plain in _GLOBAL_UNICAST
    if not is_global or any(plain in network for network in _NOT_PUBLIC_IPV6):
        return False
    is_tunnel = (int(plain) >> 32) & 0xFFFF_FFFF in _ISATAP
    return not is_tunnel or is_public(_last_32_bits(plain))


def _unmapped(address: Address) -> Address:
    """The kernel connects ::ffff:127.0.0.1 to 127.0.0.1, so the one is the other."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)


def _network(text: str, setting: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        message = f"{setting} has '{text}', which is no network. {_advice(text)}"
        raise SetupError(message) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((_last_32_bits(network.network_address), network.prefixlen - _MAPPED.prefixlen))
    return network


def _advice(text: str) -> str:
    """A network that is written with an address inside it is the likely mistake."""
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return "Separate networks by commas, as in 10.0.0.0/8,fd00::/8."
    return f"The network around this address is {meant}."
