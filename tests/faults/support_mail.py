"""Mail servers on the loopback interface: a real one that takes what is configured, and ones that only misbehave."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from msgspec import Struct

USER, PASSWORD = "post@example.com", "open/sesame"


class Received(Struct):
    """One mail as it arrived: who from and to by the envelope, and the bytes of its text."""

    sender: str
    recipient: str
    raw: bytes
    has_tls: bool
    user: bytes | None

    @property
    def mail(self) -> EmailMessage:
        """What a mail program makes of it."""
        return BytesParser(policy=policy.default).parsebytes(self.raw)  # pyright: ignore[reportReturnType] - of this policy


class Letterbox:
    """What a server does with mail: the replies that it is told to give, and the mails that it took."""

    def __init__(self, *, to_recipient: str = "250 OK", to_data: str = "250 2.0.0 Queued as 4711") -> None:
        self.received: list[Received] = []
        self.to_recipient, self.to_data = to_recipient, to_data

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.to_recipient.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        user = session.auth_data.login if session.auth_data else None
        has_tls = session.ssl is not None
        content = envelope.content
        assert isinstance(content, bytes)
        assert envelope.mail_from is not None
        self.received.append(Received(envelope.mail_from, envelope.rcpt_tos[0], content, has_tls, user))
        return self.to_data


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:  # noqa: ANN401 - what aiosmtpd gives
    """Let in who has the password."""
    is_right = given == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False, auth_data=given)


@asynccontextmanager
async def mail_server(
    letterbox: Letterbox,
    *,
    from_the_start: ssl.SSLContext | None = None,
    **options: Any,  # noqa: ANN401 - aiosmtpd's
) -> AsyncGenerator[int]:
    """A server on this port that puts mail into the letterbox; `options` are those of aiosmtpd's."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(letterbox, loop=loop, hostname="mail.test", **options), "127.0.0.1", 0, ssl=from_the_start
    )
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


@asynccontextmanager
async def odd_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[int]:
    """A server on this port that says what the test wants, and hangs up when it is done."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await talk(reader, writer)
        except ConnectionError:
            return  # the other side has hung up first
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
