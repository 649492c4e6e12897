"""Thousands of URLs that try to reach what is not public: not one of them leads to a connection there.

Two things watch. Listeners on the loopback interface, whose ports are in the URLs, count who comes. And a hook of the
interpreter sees the address of every connection before it is tried, and refuses those to the outside, so that nothing
leaves this machine.
"""

import asyncio
import itertools
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from tests.support.receivers import until

from customary.connectors.addresses import parse_networks
from customary.connectors.webhook import WebhookSender
from customary.domain.delivery import Answer, Outcome

# Addresses that may be connected to. Names that lead to them are here to show that the hook would see the others.
PUBLIC = frozenset({"8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::808:808"})
FORBIDDEN_IPV4 = (
    "127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 0.0.0.0 0.0.0.1 10.0.0.1 10.255.0.7 100.64.0.1 100.100.100.200 "
    "168.63.129.16 169.254.1.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.1 192.0.0.1 192.0.0.192 192.0.2.5 "
    "192.88.99.2 192.168.0.1 192.168.1.254 198.18.0.1 198.51.100.9 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 "
    "255.255.255.255"
).split()
FORBIDDEN_IPV6 = (
    ":: ::1 ::2 100::1 2001::1 2001:2::1 2001:10::1 2001:db8::1 3fff::1 4000::1 5f00::1 64:ff9b:1::1 fc00::1 "
    "fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1"
).split()
LOCAL_NAMES = (
    "localhost localhost. LOCALHOST lOcAlHoSt a.localhost localhost.localdomain ip6-localhost ip6-loopback "
    "ｌｏｃａｌｈｏｓｔ loc%61lhost %6cocalhost ⓛocalhost localhost%00.example.com localhost%2eexample.com"
).split()
# Where the port of the canary stands in these, {host} is one of the hosts above.
FRAMES = """
https://{host}:{port}/
http://{host}:{port}/
https://{host}/
https://{host}:{port}
HTTPS://{host}:{port}/a?b=c#d
https://{host}:0{port}/
https://{host}:{port}/..;/@example.com
https://{host}:{port}#@example.com/
https://{host}:{port}?@example.com/
https://{host}:{port}\\@example.com/
https://{host}:{port}%2f@example.com/
https://{host}:{port};@example.com/
https://{host}%23@example.com:{port}/
https://example.com@{host}:{port}/
https://example.com:443@{host}:{port}/
https://user:password@{host}:{port}/
https://@{host}:{port}/
https://:@{host}:{port}/
https://example.com%40{host}:{port}/
https://example.com#@{host}:{port}/
https://example.com?@{host}:{port}/
https://example.com\\@{host}:{port}/
https://example.com:{port}@@{host}:{port}/
https:/{host}:{port}/
https:{host}:{port}/
https:////{host}:{port}/
https:\\\\{host}:{port}\\
//{host}:{port}/
ws://{host}:{port}/
wss://{host}:{port}/
tcp://{host}:{port}/
unix://{host}:{port}/
http+unix://{host}:{port}/
ftp://{host}:{port}/
gopher://{host}:{port}/_x
url:https://{host}:{port}/
\thttps://{host}:{port}/
ht\ntps://{host}:{port}/
https://\r\n{host}:{port}/
https://{host}\t:{port}/
https://{host}:{port}\r\nHost:%20example.com/
https:// {host}:{port}/
https://{host} :{port}/
https://{host}%20:{port}/
https://{host}%09:{port}/
https://{host}%00:{port}/
https://{host}.:{port}/
https://.{host}:{port}/
https://{host}..:{port}/
https://[{host}]:{port}/
https://{host},example.com:{port}/
https://example.com,{host}:{port}/
""".strip("\n").split("\n")
ALLOWED = parse_networks("10.99.0.0/16")  # So that plain http is not refused before anything else is looked at.
CONCURRENT = 64
LEAST_URLS = 5000


class Watch:
    """Sees every connection and look-up that this process begins while it is on. A hook cannot be taken out again."""

    def __init__(self) -> None:
        self.is_on = False
        self.connected: list[str] = []
        self.looked_up: list[Any] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
            self.connected.append(host)
            address = ip_address(host)
            if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
                message = "Nothing leaves this machine."
                raise ConnectionRefusedError(message)
        elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            self.looked_up.append(arguments[0])
            message = "Nobody is asked."
            raise socket.gaierror(socket.EAI_FAIL, message)


class Canary(Struct):
    """Listeners at both loopback addresses, on one port, and who came."""

    port: int
    visits: int = 0


@pytest.fixture(scope="session")
def installed() -> Watch:
    return Watch()


@pytest.fixture
def watch(installed: Watch) -> Iterator[Watch]:
    installed.connected.clear()
    installed.looked_up.clear()
    installed.is_on = True
    yield installed
    installed.is_on = False


@asynccontextmanager
async def listening() -> AsyncGenerator[Canary]:
    canary = Canary(0)

    def came(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canary.visits += 1
        writer.transport.abort()

    first = await asyncio.start_server(came, "127.0.0.1", 0)
    canary.port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(came, "::1", canary.port)
    try:
        yield canary
    finally:
        first.close()
        second.close()


@pytest_asyncio.fixture
async def canary() -> AsyncIterator[Canary]:
    async with listening() as made:
        yield made


# --- The URLs -----------------------------------------------------------------------------------------------


def notations(address: IPv4Address) -> Iterator[str]:
    """An IPv4 address in the ways that some library reads it in."""
    number, parts = int(address), address.packed
    dotted = str(address)
    first, second, third, fourth = parts
    yield from (dotted, f"{dotted}.", str(number), hex(number), f"0{number:o}", f"0X{number:X}", f"0x{number:016x}")
    yield from (f"{number + 2**32}", f"{number - 2**32}", f"000000{number}", f"{first}.{number & 0xFFFFFF}")
    yield from (f"{first}.{second}.{number & 0xFFFF}", f"{first:#x}.{number & 0xFFFFFF:#x}")
    yield from (".".join(f"{part:{form}}" for part in parts) for form in ("#x", "#o", "03d", "04o"))
    yield ".".join(f"0{part:o}" for part in parts)
    yield f"{first:#x}.0{second:o}.{third}.{fourth:#x}"
    yield from (dotted.translate(DIGITS[kind]) for kind in DIGITS)
    yield from (dotted.replace(".", dot) for dot in "。．｡․")
    yield "".join(f"%{ord(character):02x}" for character in dotted)
    yield dotted.replace(".", "%2e")
    yield from (f"{dotted}%00", f"{dotted}%0d%0a", f"{dotted}\u200b", f"{dotted}\u00ad", f"\ufeff{dotted}")
    yield from (f"{dotted}.nip.io", f"{dotted}.example.com", f"{dotted.replace('.', '-')}.sslip.io")


DIGITS = {
    kind: str.maketrans({str(digit): digits[digit] for digit in range(10)})
    for kind, digits in {
        "fullwidth": "０１２３４５６７８９",
        "bold": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
        "circled": "⓪①②③④⑤⑥⑦⑧⑨",
        "superscript": "⁰¹²³⁴⁵⁶⁷⁸⁹",
        "arabic": "٠١٢٣٤٥٦٧٨٩",
    }.items()
}


def around(address: IPv4Address) -> Iterator[str]:
    """IPv6 addresses that lead to this one."""
    number, (first, second, third, fourth) = int(address), address.packed
    halves = f"{first:02x}{second:02x}:{third:02x}{fourth:02x}"
    for prefix in ("::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::", "2606:4700::5efe:", "fe80::200:5efe:"):
        yield from (f"[{prefix}{address}]", f"[{prefix}{halves}]")
    yield f"[0:0:0:0:0:ffff:{halves}]"
    yield f"[0000:0000:0000:0000:0000:FFFF:{halves.upper()}]"
    yield f"[2002:{halves}::1]"
    yield f"[2001:0:{halves}::1]"
    inverted = number ^ 0xFFFFFFFF
    yield f"[2001:0:808:808:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}]"
    yield f"[64:ff9b:1:{first:02x}{second:02x}:{third:x}:{fourth:02x}00::]"


def spellings(address: IPv6Address) -> Iterator[str]:
    """An IPv6 address in the ways that it is written in."""
    yield from (f"[{address}]", f"[{address.exploded}]", f"[{str(address).upper()}]", f"[{address}%25lo]")
    yield from (f"[{address}%lo]", f"[{address}%25]", f"[{address}%2525lo]", f"[{address}%1]", str(address))
    yield from (f"[{address}].", f"[[{address}]]", f"[v1.{address}]", f"%5b{address}%5d", address.reverse_pointer)


def hosts() -> list[str]:
    """Every host that leads, or may be made to lead, to what is not public."""
    made = [*LOCAL_NAMES]
    for address in map(IPv4Address, FORBIDDEN_IPV4):
        made += [*notations(address), *around(address)]
    for address in map(IPv6Address, FORBIDDEN_IPV6):
        made += spellings(address)
    made += [f"leads-to-{number}.example.com" for number in range(len(FORBIDDEN_IPV4) + len(FORBIDDEN_IPV6))]
    return list(dict.fromkeys(made))


def urls(port: int) -> list[str]:
    """Each host plainly, by https and by http, and in two of the other frames, in turn."""
    frames = itertools.cycle(FRAMES[2:])
    made = [
        frame.format(host=host, port=port) for host in hosts() for frame in (*FRAMES[:2], next(frames), next(frames))
    ]
    return list(dict.fromkeys(made))


# --- The resolvers ------------------------------------------------------------------------------------------


class Hostile(AbstractResolver):
    """Every name leads to what is forbidden, if not to what it says itself."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in await self.addresses(host)
        ]

    async def addresses(self, host: str) -> list[str]:
        return self.forbidden(host)

    def forbidden(self, host: str) -> list[str]:
        name = host.rstrip(".").lower()
        if name.startswith("leads-to-"):
            return [(FORBIDDEN_IPV4 + FORBIDDEN_IPV6)[int(name.removeprefix("leads-to-").partition(".")[0])]]
        try:
            # As the C library reads it: octal, hexadecimal, with fewer dots.
            return [socket.inet_ntoa(socket.inet_aton(name))]
        except OSError:
            return ["127.0.0.1", "::1"]

    async def close(self) -> None:
        pass


class Rebinding(Hostile):
    """A name is public when it is looked up first, then it is not, then it is both."""

    async def addresses(self, host: str) -> list[str]:
        public = sorted(PUBLIC)[self.asked // 4 % len(PUBLIC)]
        forbidden = self.forbidden(host)
        return ([public], forbidden, [public, *forbidden], [*forbidden, public])[self.asked % 4]


class Slow(Hostile):
    """An answer comes at once, shortly before the deadline, or after it."""

    async def addresses(self, host: str) -> list[str]:
        await asyncio.sleep((0, 0.06, 0.2)[self.asked % 3])
        return self.forbidden(host)


async def send_all(sender: WebhookSender, targets: Sequence[str]) -> list[Answer]:
    """Send to all of them, some at a time."""
    waiting, answers = iter(targets), list[Answer]()

    async def work() -> None:
        for url in waiting:
            answers.append(await sender.send(url, b"{}", {}))

    await asyncio.gather(*(work() for _ in range(CONCURRENT)))
    return answers


# --- What is promised ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolver", "timeout_seconds"),
    [(Hostile(), 30), (Rebinding(), 30), (Slow(), 0.1)],
    ids=["honest", "rebinding", "slow"],
)
async def test_no_url_leads_to_what_is_not_public(
    watch: Watch, canary: Canary, resolver: Hostile, timeout_seconds: float
) -> None:
    targets = urls(canary.port)
    assert len(targets) >= LEAST_URLS
    sender = WebhookSender(ALLOWED, resolver=resolver, timeout_seconds=timeout_seconds)
    answers = await send_all(sender, targets)
    await sender.close()
    assert {answer.outcome for answer in answers} <= {Outcome.FORBIDDEN, Outcome.UNREACHABLE, Outcome.TIMED_OUT}
    assert all(answer.error for answer in answers)
    if isinstance(resolver, Rebinding):
        assert set(watch.connected) == PUBLIC
    else:
        assert not watch.connected
    assert resolver.asked > len(targets) / 10
    assert not watch.looked_up
    assert canary.visits == 0


async def test_the_machines_own_resolver_leads_nowhere_else(canary: Canary) -> None:
    """What it answers without asking anybody: names of this machine, and addresses in the notations of C."""
    sender = WebhookSender(ALLOWED, timeout_seconds=30)
    for host in ("localhost", "LOCALHOST", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0x0.1", "0X7F.0.0.0x1"):
        for scheme in ("https", "http"):
            answer = await sender.send(f"{scheme}://{host}:{canary.port}/", b"{}", {})
            assert answer.outcome is Outcome.FORBIDDEN, host
    await sender.close()
    assert canary.visits == 0


async def test_the_canary_and_the_hook_notice_a_connection(watch: Watch, canary: Canary) -> None:
    """Where loopback is allowed, the same URLs do lead there, and both see it."""
    sender = WebhookSender(parse_networks("127.0.0.0/8,::1"), resolver=Hostile(), timeout_seconds=30)
    for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "0x7f.1", "leads-to-0.example.com"):
        before = len(watch.connected), canary.visits
        answer = await sender.send(f"http://{host}:{canary.port}/", b"{}", {})
        assert answer.outcome is Outcome.UNREACHABLE
        assert len(watch.connected) > before[0], host
        await until(lambda visits=before[1]: canary.visits > visits)
    await sender.close()
