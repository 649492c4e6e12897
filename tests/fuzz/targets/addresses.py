"""Where webhooks go: whatever a URL looks like, no socket is made for an address that leads inside.

Which addresses those are is said here once more, from what `ipaddress` knows and from what is hidden in an address.
"""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from aiohttp.helpers import is_ip_address
from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target
from yarl import URL

from customary.connectors.addresses import parse_address, parse_networks
from customary.connectors.webhook import _Attempt, _target
from customary.domain.values import check_url
from customary.errors import SetupError

_INSIDE_IPV4 = tuple(
    map(IPv4Network, ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "224.0.0.0/4"))
)
_TRANSLATED = IPv6Network("64:ff9b::/96")
_GIVEN_OUT = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2001::/23"), IPv6Network("2002::/16"), IPv6Network("3fff::/20"), IPv6Network("2001:db8::/32"))
_ALLOWED = parse_networks("10.1.0.0/16,fd12::/16")
_FORMS = (
    "{}",
    "[{}]",
    "[::ffff:{}]",
    "[64:ff9b::{}]",
    "[::{}]",
    "[2606:4700::5efe:{}]",
    "{}.",
    "%{}",
    "x@{}",
    "{}:443",
)
_IPV4 = ("127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "8.8.8.8", "192.168.1.1", "100.100.100.200")  # noqa: S104 - nobody listens
_SCHEMES = ("https", "http", "HTTPS", "ftp", "https:", "")


def check(data: bytes) -> None:
    """Send to a URL of these bytes, or to one that they build around an address."""
    draw = Draw(data)
    kind = draw.number(3)
    if kind == 0:
        url = draw.rest().decode("utf-8", "ignore")
    elif kind == 1:
        url = f"{draw.choice(_SCHEMES)}://{_written(draw)}{draw.rest().decode('utf-8', 'ignore')}"
    elif kind == 2:
        address = IPv6Address(draw.take(16).rjust(16, b"\0")) if draw.one_in(2) else IPv4Address(draw.number(2**32 - 1))
        _is_judged(str(address))
        return
    else:
        _are_networks(draw.rest().decode("utf-8", "ignore"))
        return
    _is_kept(url)
    for allowed in ((), _ALLOWED):
        target, problem = _target(url, allowed)
        assert (target is None) is bool(problem)
        if target is not None:
            assert target.scheme == "https" or (allowed and target.scheme == "http")
            assert "@" not in target.raw_authority
            for address in _reached(target):
                _is_judged(address)


def _written(draw: Draw) -> str:
    """An address in one of the ways in which addresses are hidden."""
    number = int(IPv4Address(draw.choice(_IPV4))) if draw.one_in(2) else draw.number(2**32 - 1)
    parts = number.to_bytes(4)
    notations = (
        str(IPv4Address(number)),
        str(number),
        hex(number),
        oct(number).replace("o", ""),
        ".".join(map(hex, parts)),
        f"{parts[0]}.{number & 0xFFFFFF}",
        ".".join(f"{part:03o}" for part in parts),
        str(IPv4Address(number)).translate(str.maketrans("0123456789.", "０１２３４５６７８９。")),
    )
    return draw.choice(_FORMS).format(draw.choice(notations))


def _reached(target: URL) -> Iterator[str]:
    """The addresses that this host is without asking anybody: as the client sees it, and as the system does."""
    host = target.raw_host or ""
    if is_ip_address(host):
        yield host
        return
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    yield from (str(address[0]) for *_, address in found)


def _is_judged(text: str) -> None:
    for allowed in ((), _ALLOWED):
        for is_encrypted in (True, False):
            is_made = _is_made(text, is_encrypted=is_encrypted, allowed=bool(allowed))
            address = parse_address(text)
            if address is None:
                assert not is_made, f"{text} is no address, and a socket was made for it"
                continue
            plain = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
            is_listed = bool(allowed) and any(plain in network for network in _ALLOWED)
            if is_made:
                assert is_listed or (is_encrypted and not _leads_inside(plain)), f"a socket was made for {text}"
            elif isinstance(plain, IPv4Address):
                assert not is_listed
                assert not is_encrypted or _leads_inside(plain), f"{text} is public, and no socket was made for it"


def _is_made(text: str, *, is_encrypted: bool, allowed: bool) -> bool:
    attempt = _Attempt(_ALLOWED if allowed else ())
    attempt.is_encrypted = is_encrypted
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        attempt.socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, 443))).close()
    except PermissionError:
        assert attempt.refused == [text]
        return False
    return True


def _leads_inside(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not address.is_global or any(address in network for network in _INSIDE_IPV4)
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _TRANSLATED:
        return _leads_inside(last)
    if address not in _GIVEN_OUT or address.scope_id is not None or any(address in network for network in _TUNNELS):
        return True
    is_tunnel = int(address) >> 32 & 0xFDFF_FFFF == 0x0000_5EFE
    return not address.is_global or (is_tunnel and _leads_inside(last))


def _is_kept(url: str) -> None:
    """Whether a URL may be stored is said in a sentence, whatever it is."""
    refusal = None
    try:
        check_url(url)
    except ValueError as error:
        refusal = str(error)
    assert refusal is None or refusal.startswith("A URL must begin with http")


def _are_networks(text: str) -> None:
    refusal = None
    try:
        networks = parse_networks(text)
    except SetupError as error:
        networks, refusal = (), str(error)
    assert refusal is None or refusal.startswith("CUSTOMARY_WEBHOOK_ALLOW has '")
    for network in networks:
        assert network.network_address in network


_SEEDS = (
    b"",
    b"\0https://127.0.0.1/",
    b"\0https://[::ffff:127.0.0.1]:443/x?y#z",
    b"\0https://user:pw@example.com\\@127.0.0.1/",
    b"\0https://0x7f.1/",
    b"\0https://[::1]@/",
    b"\0https://localhost.:65536/",
    b"\0http://10.1.2.3/",
    "\0https://①②⑦.0.0.1/".encode(),
    b"\0https://example.com%00.evil/",
    b"\0https://[fe80::1%25eth0]/",
    b"\0https://2130706433/",
    b"\x01\0\xff\0\0\x01/",
    b"\x01\0\xff\x02\x03\x02:8443/a",
    b"\x01\x01\xff\x01\x06\x05",
    b"\x02\0\x7f\0\0\x01",
    b"\x02\xff" + IPv6Address("2002:7f00:1::").packed,
    b"\x02\xff" + IPv6Address("64:ff9b::7f00:1").packed,
    b"\x02\xff" + IPv6Address("2606:4700::5efe:10.0.0.1").packed,
    b"\x02\xff" + IPv6Address("::ffff:10.1.2.3").packed,
    b"\x0310.0.0.0/8, fd00::/8",
    b"\x03::ffff:10.0.0.0/104,10.0.0.1/8",
)
_WORDS = (
    *(b"https://", b"http://", b"@", b"\\", b"//", b"[", b"]", b"::", b"::ffff:", b"64:ff9b::", b"127.0.0.1", b"0x7f"),
    *(b"%25", b"%2e", b".", b":443", b"#", b"?", b"\xe3\x80\x82", b"\xef\xbc\x8f", b"\xc2\xad", b"/32", b"xn--"),
)
TARGET = Target(name="addresses", check=check, seeds=_SEEDS, words=_WORDS)
