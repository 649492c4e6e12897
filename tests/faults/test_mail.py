"""Handing mail to a server that takes it, that does not, that hangs, that breaks off, and that nobody should trust."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.support import free_port
from tests.faults.support_mail import (
    PASSWORD,
    USER,
    Letterbox,
    authenticate,
    mail_server,
    odd_server,
)
from tests.support.certificates import Authority

from customary.connectors import mail
from customary.connectors.mail import Mailer
from customary.connectors.mail_server import mail_server as named
from customary.domain.delivery import Answer, Outcome
from customary.operations import doctor
from customary.operations.doctor import Finding, Verdict

SENDER = "Customary <customary@example.com>"
ID = "0197a000-0000-7000-8000-000000000001"
SUBJECT, TEXT = "Customer created: Ada", "Legal name: Ada\n"
PLAIN: dict[str, Any] = {"auth_require_tls": False, "auth_required": True, "authenticator": authenticate}
CREDENTIALS = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}"
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
]

# aiosmtpd warns of what these tests are about on purpose: logging in without TLS, on the loopback interface.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


def mailer(url: str, *, sender: str = SENDER, timeout_seconds: float = 10) -> Mailer:
    server = named(url, sender)
    assert server is not None
    return Mailer(server, timeout_seconds=timeout_seconds)


async def send(
    url: str,
    *,
    recipient: str = "ada@example.com",
    subject: str = SUBJECT,
    text: str = TEXT,
    **given: Any,  # noqa: ANN401 - of mailer
) -> Answer:
    return await mailer(url, **given).send(recipient, subject, text, message_id=ID)


def local(port: int, *, credentials: str = "", scheme: str = "smtp", query: str = "") -> str:
    return f"{scheme}://{credentials}{'@' if credentials else ''}127.0.0.1:{port}{query}"


# --- What arrives -----------------------------------------------------------------------------------------


async def test_a_mail_arrives() -> None:
    """It has all that mail systems want of one that a program writes, and the server's reply is kept."""
    box = Letterbox()
    async with mail_server(box) as port:
        answer = await send(local(port), subject="Kundin geändert: Größe 長", text="Straße 1\n.\nFrom here\n")
    assert (answer.outcome, answer.status, answer.error) == (Outcome.DELIVERED, 250, None)
    assert answer.body == b"2.0.0 Queued as 4711"
    assert 0 < answer.seconds < 10
    [received] = box.received
    assert (received.sender, received.recipient) == ("customary@example.com", "ada@example.com")
    assert (received.has_tls, received.user) == (False, None)
    arrived = received.mail
    assert [name for name in arrived if name != "X-Peer"] == HEADERS
    assert arrived["From"] == SENDER
    assert arrived["To"] == "ada@example.com"
    assert arrived["Subject"] == "Kundin geändert: Größe 長"
    assert arrived["Message-ID"] == f"<{ID}@example.com>"
    assert arrived["Auto-Submitted"] == "auto-generated"
    assert abs(arrived["Date"].datetime.timestamp() - time.time()) < 60
    assert arrived.get_content_type() == "text/plain"
    assert arrived.get_content().replace("\r\n", "\n") == "Straße 1\n.\nFrom here\n"
    assert received.raw.isascii()


async def test_every_attempt_has_the_same_message_id() -> None:
    """By it a mail system knows that it has had a mail before."""
    box = Letterbox()
    async with mail_server(box) as port:
        one = mailer(local(port))
        for message_id in ("a", "a", "b"):
            await one.send("ada@example.com", SUBJECT, TEXT, message_id=message_id)
    assert [each.mail["Message-ID"] for each in box.received] == [
        "<a@example.com>",
        "<a@example.com>",
        "<b@example.com>",
    ]


@pytest.mark.parametrize(
    "subject",
    [
        "Ada\r\nBcc: eve@example.com\r\n\r\nRead this instead",
        "Ada\nBcc: eve@example.com",
        "Ada\x0bBcc: eve@example.com\u2028Bcc: eve@example.com\x85\x0c",
        "=?utf-8?q?Ada=0D=0ABcc:_eve@example.com=0D=0A=0D=0ARead_this_instead?=",
        "=?utf-8?b?QWRhDQpCY2M6IGV2ZUBleGFtcGxlLmNvbQ==?=",
        "長" * 300,
        "x" * 2000,
        "",
    ],
)
async def test_a_subject_adds_no_header(subject: str) -> None:
    """Who names a customer decides about a part of one line, also in the forms that mail has for foreign letters."""
    box = Letterbox()
    async with mail_server(box) as port:
        assert (await send(local(port), subject=subject)).outcome is Outcome.DELIVERED
    [received] = box.received
    assert [name for name in message_from_bytes(received.raw) if name != "X-Peer"] == HEADERS
    assert received.mail.get_content().replace("\r\n", "\n") == TEXT
    assert all(len(line) <= 998 for line in received.raw.split(b"\r\n"))


@given(
    st.text() | st.lists(st.sampled_from(["=?", "?=", "utf-8", "?q?", "=0D=0A", "=", "?", " ", "\n", "ü"])).map("".join)
)
def test_no_text_at_all_adds_a_header(text: str) -> None:
    made = mail._mail(mail._checked("a@example.com"), text, mail._checked("b@example.com"), text, TEXT, ID)
    found = message_from_bytes(made.as_bytes(policy=SMTP))
    assert list(found) == HEADERS
    assert str(found.get_payload()).replace("\r\n", "\n") == TEXT


async def test_letters_beyond_ascii_in_addresses() -> None:
    """A domain is written in its ASCII form for everyone; before the @ the server has to take them, or is not asked."""
    box = Letterbox()
    async with mail_server(box) as port:
        assert (await send(local(port), recipient="ada@größe.example")).outcome is Outcome.DELIVERED
        refused = await send(local(port), recipient="ädä@example.com")
    assert box.received[0].recipient == "ada@xn--gre-6ka8i.example"
    assert (refused.outcome, refused.status) == (Outcome.REJECTED, None)
    assert "before the @" in str(refused.error)
    box = Letterbox()
    async with mail_server(box, enable_SMTPUTF8=True) as port:
        assert (await send(local(port), recipient="ädä@example.com")).outcome is Outcome.DELIVERED
    assert box.received[0].recipient == "ädä@example.com"
    assert "To: ädä@example.com".encode() in box.received[0].raw


# --- What a server refuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "status", "said"),
    [
        ({"to_recipient": "550 5.1.1 No such user"}, 550, "5.1.1 No such user"),
        ({"to_recipient": "451 4.7.1 Try again later"}, 451, "4.7.1 Try again later"),
        ({"to_recipient": "421 Going down"}, 421, "Going down"),
        ({"to_data": "554 5.7.1 Spam"}, 554, "5.7.1 Spam"),
        ({"to_data": "452 4.3.1 Disk full"}, 452, "4.3.1 Disk full"),
    ],
)
async def test_a_refusal_keeps_its_code_and_its_words(replies: dict[str, str], status: int, said: str) -> None:
    async with mail_server(Letterbox(**replies)) as port:
        answer = await send(local(port))
    assert (answer.outcome, answer.status, answer.body) == (Outcome.REJECTED, status, said.encode())
    assert answer.error == f"The mail server answered {status}: {said}"


async def test_a_server_that_refuses_at_once() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554-No mail\r\n554 from here\r\n")
        await writer.drain()

    async with odd_server(refuse) as port:
        answer = await send(local(port))
    assert (answer.outcome, answer.status) == (Outcome.REJECTED, 554)
    assert answer.error == "The mail server answered 554: No mail from here"


async def test_an_address_that_is_none_is_not_spoken_of() -> None:
    """What was stored before somebody tightened a rule does not get onto a command line."""
    box = Letterbox()
    async with mail_server(box) as port:
        for recipient in ("ada@example.com>\r\nRCPT TO:<eve@example.com", "ada example.com", ""):
            answer = await send(local(port), recipient=recipient)
            assert (answer.outcome, answer.error) == (Outcome.REJECTED, "The recipient is no e-mail address.")
    assert not box.received


async def test_a_long_reply_is_cut() -> None:
    async with mail_server(Letterbox(to_recipient="550 " + "x" * 480)) as port:
        assert len((await send(local(port))).body) == 480

    async def ramble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(b"554-%b\r\n" % (b"x" * 400) for _ in range(9)) + b"554 end\r\n")
        await writer.drain()

    async with odd_server(ramble) as port:
        answer = await send(local(port))
    assert (answer.outcome, len(answer.body), len(answer.error or "")) == (Outcome.REJECTED, 1024, 1024)


# --- Who may log in, and where ----------------------------------------------------------------------------


async def test_logging_in() -> None:
    box = Letterbox()
    async with mail_server(box, **PLAIN) as port:
        assert (await send(local(port, credentials=CREDENTIALS))).outcome is Outcome.DELIVERED
        without = await send(local(port))
    assert [each.user for each in box.received] == [USER.encode()]
    assert (without.outcome, without.status) == (Outcome.REJECTED, 530)


async def test_a_wrong_password_is_named_by_its_setting() -> None:
    async with mail_server(Letterbox(), **PLAIN) as port:
        answer = await send(local(port, credentials="post:hidden"))
    assert (answer.outcome, answer.status, answer.body) == (Outcome.REJECTED, 535, b"")
    assert "CUSTOMARY_SMTP_URL" in str(answer.error)
    assert "hidden" not in str(answer.error)


async def test_a_server_that_repeats_a_password_does_not_get_it_stored() -> None:
    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 odd\r\n")
        await reader.readline()
        writer.write(b"250-odd\r\n250 AUTH PLAIN\r\n")
        writer.write(b"501 What is " + await reader.readline())
        await writer.drain()
        await reader.read()

    async with odd_server(repeat) as port:
        answer = await send(local(port, credentials="post:hidden"))
    assert (answer.outcome, answer.status, answer.body) == (Outcome.REJECTED, 501, b"")
    assert "AHBvc3QAaGlkZGVu" not in str(answer.error)


async def test_a_server_without_logging_in() -> None:
    async with mail_server(Letterbox(), auth_require_tls=True) as port:
        answer = await send(local(port, credentials=CREDENTIALS))
    assert answer.outcome is Outcome.UNREACHABLE
    assert "no way to log in" in str(answer.error)


# --- TLS --------------------------------------------------------------------------------------------------


async def test_starttls_with_a_trusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Password and mail go through the upgraded connection only."""
    authority, box = Authority(tmp_path), Letterbox()
    shown = authority.server("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    secured: dict[str, Any] = {"require_starttls": True, "tls_context": shown, "authenticator": authenticate}
    async with mail_server(box, auth_required=True, **secured) as port:
        answer = await send(local(port, credentials=CREDENTIALS, query="?starttls=yes"))
    assert answer.outcome is Outcome.DELIVERED, answer
    assert [(each.has_tls, each.user) for each in box.received] == [(True, USER.encode())]


async def test_tls_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, box = Authority(tmp_path), Letterbox()
    shown = authority.server("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    async with mail_server(box, from_the_start=shown) as port:
        assert (await send(local(port, scheme="smtps"))).outcome is Outcome.DELIVERED
    assert len(box.received) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize("why", ["unknown", "for another host", "too old"])
async def test_an_untrusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, why: str) -> None:
    """Whoever has taken the place of the server sees neither password nor mail."""
    authority, box = Authority(tmp_path), Letterbox()
    shown = authority.server(
        "192.0.2.1" if why == "for another host" else "127.0.0.1",
        ends_at=datetime.now(UTC) if why == "too old" else None,
    )
    if why != "unknown":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    starts = {"from_the_start": shown} if scheme == "smtps" else {"tls_context": shown}
    query = "" if scheme == "smtps" else "?starttls=yes"
    async with mail_server(box, **starts) as port:
        answer = await send(local(port, scheme=scheme, credentials=CREDENTIALS, query=query))
    assert (answer.outcome, answer.status) == (Outcome.UNREACHABLE, None)
    assert str(answer.error).startswith("The certificate of the mail server is not trusted: ")
    assert not box.received


async def test_a_server_without_starttls_gets_nothing() -> None:
    """Somebody in between could have taken the offer away."""
    said: list[bytes] = []

    async def offer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 odd\r\n")
        while line := await reader.readline():
            said.append(line)
            writer.write(b"250-odd\r\n250 AUTH PLAIN\r\n")

    async with odd_server(offer_nothing) as port:
        answer = await send(local(port, credentials=CREDENTIALS, query="?starttls=yes"))
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.error == "The mail server does not offer STARTTLS, and CUSTOMARY_SMTP_URL asks for it."
    assert [line.split()[0] for line in said] == [b"EHLO"]


async def test_a_server_that_speaks_no_tls() -> None:
    async with mail_server(Letterbox()) as port:
        answer = await send(local(port, scheme="smtps"))
    assert answer.outcome is Outcome.UNREACHABLE
    assert "no TLS" in str(answer.error)


# --- Servers that do not answer ---------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    answer = await send(local(free_port()))
    assert (answer.outcome, answer.status) == (Outcome.UNREACHABLE, None)
    assert answer.error == "The mail server refuses connections: nothing listens on its port."


async def test_a_name_without_an_address() -> None:
    answer = await send("smtp://mail.invalid")
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.error == "The mail server's name has no address."


# What a server says until it says no more: each is a place where a conversation can stop.
BEGINNINGS = {
    "nothing": [],
    "a greeting": [b"220 odd"],
    "half a line": [b"22"],
    "half a reply": [b"220-odd"],
    "EHLO": [b"220 odd", b"250 odd"],
    "MAIL": [b"220 odd", b"250 odd", b"250 OK"],
    "RCPT": [b"220 odd", b"250 odd", b"250 OK", b"250 OK"],
    "DATA": [b"220 odd", b"250 odd", b"250 OK", b"250 OK", b"354 go on"],
}


def beginning(lines: list[bytes], *, then_waits: bool) -> Callable[..., Coroutine[Any, Any, None]]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for position, line in enumerate(lines):
            if position:
                await reader.readline()
            writer.write(line + (b"" if line == b"22" else b"\r\n"))
            await writer.drain()
        if then_waits:
            await asyncio.Event().wait()
        elif len(lines) > 1:
            await reader.readline()

    return talk


@pytest.mark.parametrize("lines", BEGINNINGS.values(), ids=BEGINNINGS)
async def test_a_server_that_hangs(lines: list[bytes]) -> None:
    """Wherever it stops, the attempt ends with its deadline."""
    async with odd_server(beginning(lines, then_waits=True)) as port:
        answer = await send(local(port), timeout_seconds=0.3)
    assert (answer.outcome, answer.status) == (Outcome.TIMED_OUT, None)
    assert answer.error == "The mail server gave no whole answer in 0.3 seconds."
    assert 0.3 <= answer.seconds < 3


async def test_a_server_that_drips() -> None:
    """A deadline for each answer would let it go on for ever."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"220-odd\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with odd_server(drip) as port:
        answer = await send(local(port), timeout_seconds=0.3)
    assert answer.outcome is Outcome.TIMED_OUT
    assert answer.seconds < 3


@pytest.mark.parametrize("lines", BEGINNINGS.values(), ids=BEGINNINGS)
async def test_a_server_that_hangs_up(lines: list[bytes]) -> None:
    async with odd_server(beginning(lines, then_waits=False)) as port:
        answer = await send(local(port))
    assert (answer.outcome, answer.status) == (Outcome.UNREACHABLE, None)
    assert "broke" in str(answer.error)


async def test_a_server_that_speaks_something_else() -> None:
    async def speak_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with odd_server(speak_http) as port:
        answer = await send(local(port))
    assert (answer.outcome, answer.status) == (Outcome.UNREACHABLE, None)
    assert "does not speak SMTP" in str(answer.error)


async def test_a_mail_that_was_taken_is_delivered_whatever_follows() -> None:
    """A server that does not say goodbye has it all the same; sending it again would be a second mail."""

    async def take_and_hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in BEGINNINGS["DATA"]:
            writer.write(reply + b"\r\n")
            await reader.readline()
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n")
        await asyncio.Event().wait()

    async with odd_server(take_and_hang) as port:
        started = time.monotonic()
        answer = await send(local(port))
    assert (answer.outcome, answer.status, answer.body) == (Outcome.DELIVERED, 250, b"taken")
    assert time.monotonic() - started < 5


async def test_whoever_stops_an_attempt_stops_it() -> None:
    """A worker that is told to end is not held up, and not told that the server was slow."""
    is_there = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        is_there.set()
        await asyncio.Event().wait()

    async with odd_server(hang) as port:
        attempt = asyncio.create_task(send(local(port)))
        await is_there.wait()
        attempt.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await attempt
    assert attempt.cancelled()


def test_the_loop_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker runs on uvloop, whose connections and failures are others than those of the standard library."""
    authority, box = Authority(tmp_path), Letterbox()
    shown = authority.server("127.0.0.1")

    async def outcomes() -> list[Outcome]:
        found: list[Answer] = []
        async with mail_server(box, tls_context=shown) as port:
            found.append(await send(local(port, query="?starttls=yes")))
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
            found.append(await send(local(port, query="?starttls=yes")))
            found.append(await send(local(port)))
        async with odd_server(beginning(BEGINNINGS["DATA"], then_waits=True)) as port:
            found.append(await send(local(port), timeout_seconds=0.3))
        async with odd_server(beginning(BEGINNINGS["RCPT"], then_waits=False)) as port:
            found.append(await send(local(port)))
        return [each.outcome for each in found]

    assert uvloop.run(outcomes()) == [
        Outcome.UNREACHABLE,
        Outcome.DELIVERED,
        Outcome.DELIVERED,
        Outcome.TIMED_OUT,
        Outcome.UNREACHABLE,
    ]
    assert [each.has_tls for each in box.received] == [True, False]


# --- Asking without sending -------------------------------------------------------------------------------


async def test_a_greeting_sends_nothing() -> None:
    box = Letterbox()
    async with mail_server(box, **PLAIN) as port:
        right = await mailer(local(port, credentials=CREDENTIALS)).greet(5)
        wrong = await mailer(local(port, credentials="post:hidden")).greet(5)
    assert (right.outcome, wrong.outcome, wrong.status) == (Outcome.DELIVERED, Outcome.REJECTED, 535)
    assert not box.received


async def test_the_doctor_says_how_the_mail_server_does() -> None:
    """Without one nothing is wrong; with one it answers, or the finding says what to do and keeps the password."""
    async with mail_server(Letterbox(), **PLAIN) as port:
        fine = await doctor.mail(named(local(port, credentials=CREDENTIALS), SENDER))
        wrong = await doctor.mail(named(local(port, credentials="post:hidden"), SENDER))
        # This address is no loopback address by its form, and reaches this machine all the same.
        readable = await doctor.mail(named(f"smtp://0.0.0.0:{port}?starttls=no", SENDER))
    assert await doctor.mail(None) == Finding("mail", Verdict.FINE, "not set; e-mail policies are refused")
    assert fine == Finding("mail", Verdict.FINE, f"127.0.0.1:{port} answers")
    assert (wrong.verdict, wrong.found.startswith(f"127.0.0.1:{port}: ")) == (Verdict.PROBLEM, True)
    assert "CUSTOMARY_SMTP_URL" in wrong.advice
    assert "hidden" not in str(wrong)
    assert (readable.verdict, readable.found) == (
        Verdict.WARNING,
        f"0.0.0.0:{port} answers, and everybody on the way reads along",
    )
