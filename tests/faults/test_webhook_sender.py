"""Sending a webhook to recipients of every kind, over real sockets of the loopback interface and real TLS.

Whatever the recipient does, there is an answer within the deadline that says what it did, and nothing is left behind.
"""

import asyncio
import gc
import gzip
import os
import socket
import ssl
import struct
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.support.certificates import Authority
from tests.support.receivers import GOOD, Behaviour, Exchange, answering, receiving, silent, until

from customary import __version__
from customary.connectors.addresses import parse_networks
from customary.connectors.names import Names
from customary.connectors.webhook import LONGEST_RETRY_AFTER_SECONDS, WebhookSender, retry_after
from customary.domain.delivery import Answer, Outcome

LOOPBACK = parse_networks("127.0.0.0/8,::1")
BODY = b'{"notificationType":"CUSTOMER_CREATED"}'
SIGNED = {"Sequence-Signature": "t=1,s=00", "webhook-id": "msg_1"}
SECRET = "token-in-the-url"
SHORT_SECONDS = 0.6
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def fast_collections() -> Iterator[None]:
    """What is there before the tests is not looked through after each of them."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest_asyncio.fixture(autouse=True)
async def left_behind() -> AsyncIterator[None]:
    """No test leaves an open connection, or an error that nobody handled."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = open_files()
    yield
    gc.collect()
    loop.set_exception_handler(None)
    assert not unhandled
    await until(lambda: open_files() <= before)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path for each of them is not wanted


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture
async def sender(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebhookSender]:
    """A sender that may speak to this machine, and trusts the authority of the tests."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    made = WebhookSender(LOOPBACK, timeout_seconds=10)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def hasty(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WebhookSender]:
    """The same with a short deadline."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    made = WebhookSender(LOOPBACK, timeout_seconds=SHORT_SECONDS)
    yield made
    await made.close()


async def post(sender: WebhookSender, url: str, body: bytes = BODY) -> Answer:
    return await sender.send(url, body, SIGNED)


def status_of(number: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {number} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# --- What is sent -------------------------------------------------------------------------------------------


async def test_a_webhook_arrives_as_it_was_given(sender: WebhookSender) -> None:
    async with receiving() as receiver:
        answer = await post(sender, receiver.url("/hooks/a%2Fb?token=x%26y#part"))
        (exchange,) = receiver.exchanges
    assert (answer.outcome, answer.status, answer.body, answer.error) == (Outcome.DELIVERED, 200, b"ok", None)
    assert 0 < answer.seconds < 10
    assert exchange.head.split(b"\r\n")[0] == b"POST /hooks/a%2Fb?token=x%26y HTTP/1.1"
    assert exchange.body == BODY
    assert exchange.headers() == {
        "host": f"127.0.0.1:{receiver.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(BODY)),
        "content-type": "application/json",
        "sequence-signature": "t=1,s=00",
        "user-agent": f"Customary/{__version__}",
        "webhook-id": "msg_1",
        "connection": "close",
    }


async def test_every_webhook_has_a_connection_of_its_own_and_no_cookies(sender: WebhookSender) -> None:
    async with receiving(answering(status_of(200, "Set-Cookie: a=b; Path=/", "Connection: keep-alive"))) as receiver:
        for _ in range(3):
            await post(sender, receiver.url())
        assert receiver.connections == 3
        assert all("cookie" not in exchange.headers() for exchange in receiver.exchanges)


async def test_a_large_body_arrives_whole(sender: WebhookSender) -> None:
    body = os.urandom(5 * MEBIBYTE)
    async with receiving() as receiver:
        assert (await post(sender, receiver.url(), body)).outcome is Outcome.DELIVERED
        assert receiver.exchanges[0].body == body


async def test_the_environment_of_the_process_does_not_lead_it_elsewhere(
    sender: WebhookSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver, receiving() as elsewhere:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.url())
        assert (await post(sender, receiver.url())).outcome is Outcome.DELIVERED
        assert (receiver.connections, elsewhere.connections) == (1, 0)


async def test_names_are_looked_up(sender: WebhookSender) -> None:
    async with receiving() as receiver:
        answer = await post(sender, receiver.url(host="localhost"))
        assert answer.outcome is Outcome.DELIVERED
        assert receiver.exchanges[0].headers()["host"] == f"localhost:{receiver.port}"


# --- What the answer means ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (201, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (299, Outcome.DELIVERED),
        (300, Outcome.REJECTED),
        (304, Outcome.REJECTED),
        (400, Outcome.REJECTED),
        (401, Outcome.REJECTED),
        (404, Outcome.REJECTED),
        (410, Outcome.GONE),
        (429, Outcome.REJECTED),
        (500, Outcome.REJECTED),
        (503, Outcome.REJECTED),
        (599, Outcome.REJECTED),
    ],
)
async def test_only_success_is_a_delivery(sender: WebhookSender, status: int, outcome: Outcome) -> None:
    async with receiving(answering(status_of(status))) as receiver:
        answer = await post(sender, receiver.url())
    assert (answer.outcome, answer.status) == (outcome, status)
    assert answer.error is None if outcome is Outcome.DELIVERED else str(status) in (answer.error or "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(sender: WebhookSender, status: int) -> None:
    async with receiving() as elsewhere:
        redirect = status_of(status, f"Location: {elsewhere.url()}")
        async with receiving(answering(redirect)) as receiver:
            answer = await post(sender, receiver.url())
        assert (answer.outcome, answer.status) == (Outcome.REJECTED, status)
        assert answer.error == f"The recipient answered {status}, a redirect; redirects are not followed."
        assert elsewhere.connections == 0


async def test_the_beginning_of_an_answer_is_kept(sender: WebhookSender) -> None:
    async with receiving(answering(status_of(500, body=bytes(range(256)) * 8))) as receiver:
        answer = await post(sender, receiver.url())
    assert answer.body == bytes(range(256)) * 4


async def test_an_answer_without_a_length_ends_with_the_connection(sender: WebhookSender) -> None:
    async with receiving(answering(b"HTTP/1.0 200 OK\r\n\r\nfine")) as receiver:
        answer = await post(sender, receiver.url())
    assert (answer.outcome, answer.body) == (Outcome.DELIVERED, b"fine")


async def test_informational_answers_come_before_the_real_one(sender: WebhookSender) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with receiving(answering(b"HTTP/1.1 100 Continue\r\n\r\n", hints, GOOD)) as receiver:
        assert (await post(sender, receiver.url())).outcome is Outcome.DELIVERED


NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0000000000000000000060", 60),
        ("604801", LONGEST_RETRY_AFTER_SECONDS),
        ("1000000000", LONGEST_RETRY_AFTER_SECONDS),
        ("9" * 6000, LONGEST_RETRY_AFTER_SECONDS),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
        ("Monday, 04-May-26 12:05:00 GMT", 300),
        ("Mon May  4 12:05:00 2026", 300),
        ("Fri, 20 Nov 2099 10:00:00 GMT", LONGEST_RETRY_AFTER_SECONDS),
        (format_datetime(NOW, usegmt=True), None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Fri, 99 Nov 2099 99:00:00 GMT", None),
        ("Fri, 20 Nov 999999 10:00:00 GMT", None),
        ("0", None),
        ("-1", None),
        ("1e9", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("120 seconds", None),
        ("", None),
        (None, None),
    ],
)
def test_what_retry_after_asks_for(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


async def test_retry_after_is_passed_on_with_a_rejection_only(sender: WebhookSender) -> None:
    asked: list[float | None] = []
    for each in (
        status_of(503, "Retry-After: 120"),
        status_of(429, "retry-after: -5"),
        status_of(503, "Retry-After: 30", "Retry-After: 60"),
        status_of(200, "Retry-After: 120"),
        status_of(410, "Retry-After: 120"),
    ):
        async with receiving(answering(each)) as receiver:
            asked.append((await post(sender, receiver.url())).retry_after_seconds)
    assert asked == [120, None, 30, None, None]


# --- Recipients that cannot be reached ----------------------------------------------------------------------


async def test_a_refused_connection(sender: WebhookSender) -> None:
    async with receiving() as receiver:
        url = receiver.url(f"/{SECRET}?key={SECRET}")
    answer = await post(sender, url)
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.error == f"127.0.0.1 could not be reached on port {receiver.port}: Connection refused."


async def reset(exchange: Exchange) -> None:
    """End the connection with a reset."""
    exchange.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def reset_in_the_middle(exchange: Exchange) -> None:
    """End it with a reset after a part of the answer."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")
    await reset(exchange)


BROKEN = "The connection broke before there was a whole answer."
NO_HTTP = "The recipient did not answer in the form of HTTP."


@pytest.mark.parametrize(
    ("behave", "says"),
    [
        (reset, BROKEN),
        (reset_in_the_middle, BROKEN),
        (answering(), BROKEN),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Le"), BROKEN),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"), BROKEN),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), BROKEN),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n"), None),
        (answering(b"220 mail.example.com ESMTP\r\n"), NO_HTTP),
        (answering(b"\x15\x03\x01\x00\x02\x02\x50"), NO_HTTP),
        (answering(b"HTTP/1.1 banana\r\n\r\n"), NO_HTTP),
        (answering(b"HTTP/9.9 200 OK\r\n\r\n"), NO_HTTP),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), NO_HTTP),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), NO_HTTP),
        (answering(b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n"), NO_HTTP),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), NO_HTTP),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 10_000 + b"\r\n"), NO_HTTP),
    ],
)
async def test_answers_that_are_none(sender: WebhookSender, behave: Behaviour, says: str | None) -> None:
    async with receiving(behave) as receiver:
        answer = await post(sender, receiver.url(f"/{SECRET}"))
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.error == (says or answer.error)
    assert SECRET not in (answer.error or SECRET)


class Fixed(AbstractResolver):
    """Gives the same addresses for every name, or raises, after a while."""

    def __init__(self, *addresses: str, error: Exception | None = None, pause_seconds: float = 0) -> None:
        self.addresses, self.error, self.pause_seconds = addresses, error, pause_seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        await asyncio.sleep(self.pause_seconds)
        if self.error:
            raise self.error
        kind = socket.AF_INET
        return [
            ResolveResult(hostname=host, host=each, port=port, family=kind, proto=0, flags=0) for each in self.addresses
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("resolver", "outcome", "says"),
    [
        (
            Fixed(error=socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
            Outcome.UNREACHABLE,
            "hooks.example.com could not be looked up: Name or service not known.",
        ),
        (
            Fixed(error=socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
            Outcome.UNREACHABLE,
            "hooks.example.com could not be looked up: Temporary failure in name resolution.",
        ),
        (Fixed(pause_seconds=30), Outcome.TIMED_OUT, "The recipient did not answer within 0.6 s."),
        (Fixed(), Outcome.UNREACHABLE, None),
        (Fixed("localhost"), Outcome.FORBIDDEN, None),
        (Fixed("127.1"), Outcome.FORBIDDEN, None),
        (
            Fixed("10.1.2.3", "fd00::1"),
            Outcome.FORBIDDEN,
            (
                "hooks.example.com leads to 10.1.2.3, which is not a public address; webhooks are not sent there. "
                "An operator can allow it with CUSTOMARY_WEBHOOK_ALLOW."
            ),
        ),
    ],
)
async def test_names_that_lead_nowhere(resolver: Fixed, outcome: Outcome, says: str | None) -> None:
    sender = WebhookSender(LOOPBACK, resolver=resolver, timeout_seconds=SHORT_SECONDS)
    answer = await post(sender, f"https://hooks.example.com/{SECRET}?{SECRET}")
    await sender.close()
    assert (answer.outcome, answer.error) == (outcome, says or answer.error)
    assert SECRET not in (answer.error or SECRET)


async def test_the_next_address_of_a_name_is_tried(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is forbidden, on one nobody listens, on the third there is the recipient."""
    sender = WebhookSender(LOOPBACK, resolver=Fixed("10.1.2.3", "127.0.0.99", "127.0.0.1"), timeout_seconds=10)
    async with receiving() as receiver:
        answer = await post(sender, receiver.url(host="hooks.example.com"))
    await sender.close()
    assert answer.outcome is Outcome.DELIVERED


# --- TLS ----------------------------------------------------------------------------------------------------


async def test_a_certificate_that_is_trusted_and_for_this_host(sender: WebhookSender, authority: Authority) -> None:
    async with receiving(tls=authority.server("localhost", "127.0.0.1")) as receiver:
        for host in ("localhost", "127.0.0.1", "LOCALHOST"):
            answer = await post(sender, receiver.url(host=host))
            assert (answer.outcome, answer.error, answer.body) == (Outcome.DELIVERED, None, b"ok"), host


async def test_a_name_may_end_with_a_dot(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    sender = WebhookSender(LOOPBACK, resolver=Fixed("127.0.0.1"))
    async with receiving(tls=authority.server("hooks.example.com")) as receiver:
        assert (await post(sender, receiver.url(host="hooks.example.com."))).outcome is Outcome.DELIVERED
    await sender.close()


async def test_certificates_that_are_not_valid(sender: WebhookSender, authority: Authority, tmp_path: Path) -> None:
    contexts = {
        "certificate has expired": authority.server("localhost", ends_at=datetime.now(UTC) - timedelta(hours=1)),
        "certificate is not yet valid": authority.server("localhost", ends_at=datetime.now(UTC) + timedelta(days=20)),
        "Hostname mismatch, certificate is not valid for 'localhost'": authority.server("other.example.com"),
        "unable to get local issuer certificate": Authority(tmp_path, "stranger").server("localhost"),
    }
    for problem, context in contexts.items():
        async with receiving(tls=context) as receiver:
            answer = await post(sender, receiver.url(f"/{SECRET}", host="localhost"))
            assert not receiver.exchanges
        assert (answer.outcome, answer.status) == (Outcome.UNREACHABLE, None)
        assert answer.error == f"The recipient's certificate is not valid: {problem}."


async def test_old_versions_of_tls_are_not_spoken(sender: WebhookSender, authority: Authority) -> None:
    old = authority.server("localhost", is_old=True)
    async with receiving(tls=old) as receiver:
        answer = await post(sender, receiver.url(host="localhost"))
        assert not receiver.exchanges
    assert answer.outcome is Outcome.UNREACHABLE
    assert sender._tls.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_https_is_never_answered_with_plain_http(sender: WebhookSender) -> None:
    async with receiving(answering(GOOD), reads_request=False) as receiver:
        answer = await post(sender, receiver.url(host="localhost").replace("http://", "https://"))
    assert answer.outcome is Outcome.UNREACHABLE
    assert "No encrypted connection" in (answer.error or "")


# --- Recipients that take their time ------------------------------------------------------------------------


def slowly(beginning: bytes, rest: bytes) -> Behaviour:
    """Send the rest byte by byte, each long before a sender would lose its patience with one read."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(beginning)
        await exchange.send(*(bytes([each]) for each in rest), pause_seconds=SHORT_SECONDS / 20)

    return behave


async def endless_informational(exchange: Exchange) -> None:
    """Say forever that it is about to answer."""
    while True:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100)


@pytest.mark.parametrize(
    ("behave", "status"),
    [
        (silent, None),
        (slowly(b"", b"HTTP/1.1 200 OK\r\n" + b"X-Slow: very\r\n" * 100), None),
        (slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x" * 1000), 200),
        (slowly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 200), 200),
        (endless_informational, None),
    ],
)
@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_the_deadline_is_for_the_whole_answer(
    hasty: WebhookSender, authority: Authority, behave: Behaviour, status: int | None, is_encrypted: bool
) -> None:
    started = time.monotonic()
    async with receiving(behave, tls=authority.server("127.0.0.1") if is_encrypted else None) as receiver:
        answer = await post(hasty, receiver.url())
        assert time.monotonic() - started < SHORT_SECONDS + 5
        await until(lambda: receiver.ended)
    assert answer.seconds >= SHORT_SECONDS - 0.05
    assert (answer.outcome, answer.status) == (Outcome.TIMED_OUT, status)
    assert answer.error == "The recipient did not answer within 0.6 s."


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_deadline_is_for_the_handshake_too(hasty: WebhookSender, scheme: str) -> None:
    async with receiving(silent, reads_request=False) as receiver:
        answer = await post(hasty, f"{scheme}://127.0.0.1:{receiver.port}/")
        await until(lambda: receiver.ended)
    assert answer.outcome is Outcome.TIMED_OUT


async def deaf(exchange: Exchange) -> None:
    """Read nothing but what the socket and a reader take by themselves."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_recipient_that_does_not_read_is_left(
    hasty: WebhookSender, authority: Authority, is_encrypted: bool
) -> None:
    """What it did not take is not kept for it after the deadline; the fixture sees that no connection stays."""
    before = open_files()
    tls = authority.server("127.0.0.1") if is_encrypted else None
    async with receiving(deaf, tls=tls, reads_request=False) as receiver:
        answer = await post(hasty, receiver.url(), bytes(32 * MEBIBYTE))
        assert answer.outcome is Outcome.TIMED_OUT
        # The receiver's own two, which it holds on to: the one that listens and the one that was accepted.
        await until(lambda: open_files() <= before + 2)


async def test_a_cancelled_attempt_ends_at_once(sender: WebhookSender) -> None:
    async with receiving(silent) as receiver:
        attempt = asyncio.create_task(post(sender, receiver.url()))
        await until(lambda: receiver.exchanges)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await until(lambda: receiver.ended)


# --- Recipients that say too much ---------------------------------------------------------------------------


def endless(head: bytes, chunk: bytes) -> Behaviour:
    """Send this for ever, counting what the sender let through."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(head)
        while True:
            await exchange.send(chunk)

    return behave


PLAIN = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HUNDRED_MEBIBYTES = b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n"
BLOCK = bytes(256 * 1024)
BOMB = gzip.compress(bytes(64 * MEBIBYTE), 9)
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)


async def peak_growth(sender: WebhookSender, behave: Behaviour) -> tuple[Answer, int]:
    """What came of an attempt, and by how many bytes this process grew at most, its receiver included."""
    async with receiving(behave) as receiver:
        await asyncio.sleep(0)
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            answer = await post(sender, receiver.url())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await until(lambda: receiver.ended)
    return answer, peak - before


@pytest.mark.parametrize(
    "behave",
    [
        endless(PLAIN, BLOCK),
        endless(CHUNKED, b"40000\r\n" + BLOCK + b"\r\n"),
        endless(HUNDRED_MEBIBYTES, BLOCK),
        answering(GZIPPED, BOMB),
    ],
    ids=["endless", "endless chunks", "100 MiB", "bomb"],
)
async def test_no_more_is_read_than_the_beginning(sender: WebhookSender, behave: Behaviour) -> None:
    """The status counts, the rest is left where it is, and memory stays as it was."""
    answer, growth = await peak_growth(sender, behave)
    assert (answer.outcome, answer.status, len(answer.body)) == (Outcome.DELIVERED, 200, 1024)
    assert answer.seconds < 5
    assert growth < 4 * MEBIBYTE


@pytest.mark.parametrize(
    "behave",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n" * 1000),
        endless(b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 65536),
        endless(b"HTTP/1.1 200 ", b"x" * 65536),
        endless(CHUNKED + b"0\r\n", b"X-Trailer: value\r\n" * 1000),
        endless(CHUNKED + b"1;", b"x" * 65536),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        endless(b"", b"\r\n" * 10_000),
    ],
    ids=["headers", "a header", "a reason", "trailers", "a chunk's extension", "informational", "empty lines"],
)
async def test_memory_stays_flat_whatever_is_endless(hasty: WebhookSender, behave: Behaviour) -> None:
    answer, growth = await peak_growth(hasty, behave)
    assert answer.outcome in {Outcome.UNREACHABLE, Outcome.TIMED_OUT}
    assert growth < 8 * MEBIBYTE


async def test_a_bomb_is_not_unpacked(sender: WebhookSender) -> None:
    async with receiving(answering(GZIPPED, BOMB)) as receiver:
        answer = await post(sender, receiver.url())
    assert answer.body == BOMB[:1024]


# --- Addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://127.0.0.1/", "127.0.0.1 is not a public address; webhooks are not sent there."),
        ("https://[::ffff:7f00:1]/", "::ffff:7f00:1 is not a public address;"),
        ("http://example.com/", "Webhooks are sent by https, and this URL begins with http://."),
        ("https://user:password@example.com/", "The URL has a user name or a password before its host;"),
        ("https://user@example.com/", "The URL has a user name or a password before its host;"),
        ("ftp://example.com/", "This is not a URL that webhooks can be sent to."),
        ("https:///path", "This is not a URL that webhooks can be sent to."),
        ("https://example.com:99999/", "This is not a URL that webhooks can be sent to."),
        ("//example.com/", "This is not a URL that webhooks can be sent to."),
        ("", "This is not a URL that webhooks can be sent to."),
        ("https://[::1]@/", "This is not a URL that webhooks can be sent to."),
    ],
)
async def test_what_is_forbidden_is_said_in_a_sentence(url: str, says: str) -> None:
    sender = WebhookSender(resolver=Fixed(error=AssertionError("nothing is looked up")))
    answer = await post(sender, url)
    await sender.close()
    assert answer.outcome is Outcome.FORBIDDEN
    assert (answer.error or "").startswith(says)
    assert "password@" not in (answer.error or "")


async def test_plain_http_is_for_allowed_networks_only() -> None:
    """A public address beside an allowed network is not reached by http, so the connection is never tried."""
    sender = WebhookSender(LOOPBACK, resolver=Fixed("8.8.8.8"), timeout_seconds=SHORT_SECONDS)
    answer = await post(sender, "http://hooks.example.com/")
    await sender.close()
    assert answer.outcome is Outcome.FORBIDDEN
    assert (answer.error or "").startswith("hooks.example.com leads to 8.8.8.8, which is reached by https only,")


# --- Looking names up ---------------------------------------------------------------------------------------


async def test_a_slow_name_takes_one_thread_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two threads, a name that hangs and is asked for a hundred times leaves one for all others."""
    may_end = threading.Event()
    asked: list[bytes] = []

    def look_up(host: bytes, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        if host.startswith(b"slow"):
            may_end.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))] * 3

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    names = Names(capacity=2)
    try:
        waiting = [asyncio.create_task(names.resolve("slow.example.com", 443)) for _ in range(100)]
        await until(lambda: asked)
        for task in waiting[:50]:
            task.cancel()
        for number in range(20):
            (found,) = await asyncio.wait_for(names.resolve(f"{number}.example.com", 443), 10)
            assert (found["host"], found["port"]) == ("127.0.0.1", 443)
        may_end.set()
        assert all(len(found) == 1 for found in await asyncio.gather(*waiting[50:]))
        assert asked.count(b"slow.example.com") == 1
        # Nothing is remembered.
        await names.resolve("slow.example.com", 443)
        assert asked.count(b"slow.example.com") == 2
    finally:
        may_end.set()
        await names.close()


async def test_whoever_gives_up_in_the_queue_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every thread taken, attempts time out; their names are not looked up afterwards for nobody."""
    may_end = threading.Event()
    asked: list[bytes] = []

    def look_up(host: bytes, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        may_end.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    names = Names(capacity=1)
    sender = WebhookSender(resolver=names, timeout_seconds=SHORT_SECONDS)
    try:
        answers = await asyncio.gather(*(post(sender, f"https://{number}.example.com/") for number in range(20)))
        assert {answer.outcome for answer in answers} == {Outcome.TIMED_OUT}
        may_end.set()
        answer = await post(sender, "https://last.example.com/")
        assert answer.error == "last.example.com could not be looked up: Temporary failure in name resolution."
        assert len(asked) == 2
    finally:
        may_end.set()
        await sender.close()
