"""Hands e-mails to the operator's mail server, each over a connection of its own and within a deadline."""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import format_datetime
from typing import cast

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPAuthenticationError, SMTPException, SMTPResponseException
from aiosmtplib.response import SMTPResponse
from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from customary.connectors.mail_server import URL_NAME, MailServer
from customary.domain.delivery import LONGEST_ATTEMPT_SECONDS, Answer, Outcome
from customary.domain.message import one_line

_FAREWELL_SECONDS = 1.0
_MOST_BYTES = 1024
_FULL_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


class Mailer:
    """Sends through one mail server, whose certificate must be one that this machine trusts."""

    def __init__(self, server: MailServer, *, timeout_seconds: float = LONGEST_ATTEMPT_SECONDS) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._tls: ssl.SSLContext | None = None

    async def send(self, recipient: str, subject: str, text: str, *, message_id: str) -> Answer:
        """Try once to send this; what came of it is in the answer, and nothing is raised.

        With the same `message_id` every attempt has the same Message-ID, by which mail systems know a repetition.
        """

        async def hand_in(client: SMTP) -> SMTPResponse:
            return await self._hand_in(client, recipient, subject, text, message_id)

        return await self._attempt(hand_in, self._timeout_seconds)

    async def greet(self, timeout_seconds: float) -> Answer:
        """What connecting, greeting and logging in come to, without sending anything. Raises nothing either."""

        async def ask(client: SMTP) -> SMTPResponse:
            return await client.noop()

        return await self._attempt(ask, timeout_seconds)

    async def _attempt(self, talk: Callable[[SMTP], Awaitable[SMTPResponse]], timeout_seconds: float) -> Answer:
        """The answer of a whole conversation. Nothing but its deadline ends one that hangs."""
        started = time.monotonic()
        client: SMTP | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                client = await self._client()
                await client.connect()
                reply = await talk(client)
        except Exception as error:  # noqa: BLE001 - whatever a server made happen is an answer, not an end of the sender
            return _failure(error, time.monotonic() - started, timeout_seconds)
        else:
            answer = Answer(
                outcome=Outcome.DELIVERED,
                seconds=time.monotonic() - started,
                status=reply.code,
                body=_cut(reply.message),
            )
            # It has the mail: whether it says goodbye as well changes nothing.
            with contextlib.suppress(Exception):
                await client.quit(timeout=_FAREWELL_SECONDS)
            return answer
        finally:
            if client is not None:
                _hang_up(client)

    async def _client(self) -> SMTP:
        server = self._server
        if self._tls is None and (server.has_tls or server.has_starttls):
            # It reads all the certificates that this machine trusts, which takes a while.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            local_hostname=_own_name(),
            timeout=None,
            use_tls=server.has_tls,
            start_tls=server.has_starttls,
            tls_context=self._tls,
        )

    async def _hand_in(self, client: SMTP, recipient: str, subject: str, text: str, message_id: str) -> SMTPResponse:
        sender, to = _checked(self._server.sender_address), _checked(recipient)
        is_foreign = sender.ascii_email is None or to.ascii_email is None
        if is_foreign and client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if is_foreign and not client.supports_extension("smtputf8"):
            raise _NotPossibleError("The mail server does not take addresses with letters beyond ASCII before the @.")
        options, encoding = (["SMTPUTF8"], "utf-8") if is_foreign else ([], "ascii")
        mail = _mail(sender, self._server.sender_name, to, subject, text, message_id)
        policy = POLICY.clone(utf8=is_foreign)
        await client.mail(sender.ascii_email or sender.normalized, options=options, encoding=encoding)
        await client.rcpt(to.ascii_email or to.normalized, encoding=encoding)
        return await client.data(mail.as_bytes(policy=policy))


class _NotPossibleError(Exception):
    """This mail cannot be sent through this server; the message says why."""


def _checked(address: str) -> ValidatedEmail:
    """An address in its parts, without a look into the DNS. Raises `EmailNotValidError`."""
    return validate_email(address, check_deliverability=False, globally_deliverable=False)


def _mail(
    sender: ValidatedEmail, sender_name: str, to: ValidatedEmail, subject: str, text: str, message_id: str
) -> EmailMessage:
    """The mail as it is sent: no value of a header can end its line, and every line of it is ASCII and short."""
    mail = EmailMessage()
    mail["From"] = Address(_header(sender_name), sender.local_part, sender.ascii_domain)
    mail["To"] = Address("", to.local_part, to.ascii_domain)
    mail["Subject"] = _header(subject)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<{message_id}@{sender.ascii_domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text, cte="quoted-printable")
    return mail


def _header(text: str) -> str:
    """This text as the value of a header that ends where it ends.

    Setting a header decodes what looks like an encoded word (RFC 2047), line ends included, and Python 3.11 then sends
    those as they are: a customer's name could add headers of its own. Taken apart, nothing looks like one.
    """
    return one_line(text).replace("=?", "= ?")


def _failure(error: Exception, seconds: float, timeout_seconds: float) -> Answer:
    """What an attempt came to that ended with this error. Nothing of a password gets into it."""
    match error:
        case SMTPAuthenticationError():
            # Some servers repeat what they were sent.
            said = f"The mail server does not take the user and the password of {URL_NAME}; it says {error.code}."
            return Answer(outcome=Outcome.REJECTED, seconds=seconds, status=error.code, error=said)
        case SMTPResponseException(code=code) if code > 0:
            said = f"The mail server answered {code}: {one_line(error.message)}"
            return Answer(
                outcome=Outcome.REJECTED, seconds=seconds, status=code, body=_cut(error.message), error=_short(said)
            )
        case _NotPossibleError():
            return Answer(outcome=Outcome.REJECTED, seconds=seconds, error=str(error))
        case EmailNotValidError():
            return Answer(outcome=Outcome.REJECTED, seconds=seconds, error="The recipient is no e-mail address.")
        case TimeoutError():
            said = f"The mail server gave no whole answer in {timeout_seconds:g} seconds."
            return Answer(outcome=Outcome.TIMED_OUT, seconds=seconds, error=said)
        case _:
            return Answer(outcome=Outcome.UNREACHABLE, seconds=seconds, error=_short(_reason(error)))


def _reason(error: BaseException) -> str:
    """Why there was no connection that a mail could be sent over, from what the error goes back to."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    known = next((said for each in causes if (said := _known(each)) is not None), None)
    if known is not None:
        return known
    said = error.message if isinstance(error, SMTPException) else ""
    if "STARTTLS extension" in said:
        return f"The mail server does not offer STARTTLS, and {URL_NAME} asks for it."
    if "auth" in said.lower():
        return f"The mail server offers no way to log in that is known here, and {URL_NAME} has a user."
    return f"The connection to the mail server broke, or it does not speak SMTP ({type(error).__name__})."


def _known(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            return f"The certificate of the mail server is not trusted: {error.verify_message}."
        case ssl.SSLError():
            return f"There is no TLS with the mail server: {error.reason or 'it does not answer as it should'}."
        case socket.gaierror():
            return "The mail server's name has no address."
        case ConnectionRefusedError():
            return "The mail server refuses connections: nothing listens on its port."
        case _:
            return None


def _hang_up(client: SMTP) -> None:
    """Leave nothing of a connection: closing politely would wait for a server that does not read."""
    if client.transport is not None:
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()


def _own_name() -> str:
    """How this machine introduces itself: by its full name if it has one, else by an address, as RFC 5321 has it.

    The name is not looked up: that can take longer than a whole attempt may.
    """
    name = socket.gethostname()
    return name if _FULL_NAME.fullmatch(name) else "[127.0.0.1]"


def _cut(reply: str) -> bytes:
    return reply.encode("utf-8", "replace")[:_MOST_BYTES]


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= _MOST_BYTES else f"{sentence[: _MOST_BYTES - 1]}…"
