"""Webhooks: one POST to an address that strangers chose, and what came of it.

Where a request goes is decided by the address that is connected to, whatever the URL looked like and whatever a name
led to a moment ago. What a recipient answers with, and how slowly, costs us no more than a deadline and 16 KiB.
"""

import asyncio
import contextlib
import io
import os
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from customary import __version__
from customary.connectors.addresses import Address, Network, is_allowed, is_listed, parse_address
from customary.connectors.names import Names
from customary.domain.delivery import KEPT_BODY_BYTES, LONGEST_ATTEMPT_SECONDS, Answer, Outcome

MOST_READ = 16 * 1024
LONGEST_RETRY_AFTER_SECONDS = 7 * 24 * 3600.0
# What aiohttp passes to a factory of sockets: family, type, protocol, canonical name, address.
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

_HEADERS = {
    # What is compressed could not be read in a log, and is not wanted.
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"Customary/{__version__}",
}
_MOST_DIGITS = 12
_HOW_TO_ALLOW = "An operator can allow it with CUSTOMARY_WEBHOOK_ALLOW."


class WebhookSender:
    """Sends webhooks to public addresses by https, and to the `allowed` networks by http too.

    It verifies certificates against those that the machine trusts. Close it at the end; a resolver is closed with it.
    """

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        resolver: AbstractResolver | None = None,
        timeout_seconds: float = LONGEST_ATTEMPT_SECONDS,
    ) -> None:
        self._allowed = tuple(allowed)
        self._names = resolver or Names()
        self._timeout_seconds = timeout_seconds
        self._tls = ssl.create_default_context()
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.set_alpn_protocols(["http/1.1"])

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send this body once and say what came of it, within the deadline. Only a cancellation is raised."""
        started = time.monotonic()
        attempt = _Attempt(self._allowed)
        outcome, error = await self._outcome(attempt, url, body, headers)
        return Answer(
            outcome=outcome,
            seconds=time.monotonic() - started,
            status=attempt.status,
            body=bytes(attempt.body),
            error=error,
            retry_after_seconds=attempt.retry_after_seconds if outcome is Outcome.REJECTED else None,
        )

    async def close(self) -> None:
        """Let go of what it holds."""
        await self._names.close()

    async def _outcome(
        self, attempt: "_Attempt", url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[Outcome, str | None]:
        target, problem = _target(url, self._allowed)
        if target is None:
            return Outcome.FORBIDDEN, problem
        attempt.is_encrypted = target.scheme == "https"
        deadline = asyncio.timeout(self._timeout_seconds)
        try:
            async with deadline:
                await self._post(attempt, target, body, headers)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's answer sets off is an outcome, not our end
            if deadline.expired():
                return Outcome.TIMED_OUT, f"The recipient did not answer within {self._timeout_seconds:g} s."
            if attempt.refused and not attempt.sockets:
                return Outcome.FORBIDDEN, _refusal(target, attempt)
            return Outcome.UNREACHABLE, _explanation(target, error)
        return _judgement(attempt.status)

    async def _post(self, attempt: "_Attempt", target: URL, body: bytes, headers: Mapping[str, str]) -> None:
        """One request over a connection of its own, which no other attempt shares and nothing outlives."""
        connector = aiohttp.TCPConnector(
            resolver=self._names,
            use_dns_cache=False,
            ssl=self._tls,
            force_close=True,
            limit=0,
            socket_factory=attempt.socket,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=MOST_READ,
            max_line_size=MOST_READ,
            max_field_size=MOST_READ,
        )
        try:
            async with session.post(
                target, data=io.BytesIO(body), headers={**_HEADERS, **headers}, allow_redirects=False
            ) as response:
                attempt.status = response.status
                attempt.retry_after_seconds = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
                await attempt.read(response.content)
        finally:
            attempt.hang_up()
            await session.close()


class _Attempt:
    """What one attempt learns on its way, so that it is there however the attempt ends."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self.is_encrypted = True
        self.refused: list[str] = []
        self.sockets: list[socket.socket] = []
        self.status: int | None = None
        self.retry_after_seconds: float | None = None
        self.body = bytearray()
        self._allowed = allowed

    def socket(self, info: AddressInfo) -> socket.socket:
        """A socket for this address, which is the one that will be connected to. Raises `OSError` for a forbidden one.

        What is no address would be looked up when it is connected to, past this check, and is refused.
        """
        family, kind, protocol, _, (host, *_) = info
        address = parse_address(host)
        if address is None or not self._may_reach(address):
            self.refused.append(host)
            message = "This address may not be connected to."
            raise PermissionError(message)
        made = socket.socket(family, kind, protocol)
        self.sockets.append(made)
        return made

    async def read(self, content: aiohttp.StreamReader) -> None:
        """Read the answer to its end or to the most that is read, and keep its beginning."""
        left = MOST_READ
        while left > 0 and (chunk := await content.read(left)):
            left -= len(chunk)
            self.body += chunk[: KEPT_BODY_BYTES - len(self.body)]

    def hang_up(self) -> None:
        """End the connection at once: closing it would first wait for the recipient to take or say the rest."""
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _may_reach(self, address: Address) -> bool:
        return is_allowed(address, self._allowed) if self.is_encrypted else is_listed(address, self._allowed)


def retry_after(text: str | None, now: datetime) -> float | None:
    """The seconds that a `Retry-After` asks for (RFC 9110, section 10.2.3), at most seven days; None for nonsense.

    A date in the past and nought seconds ask for nothing.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        seconds = float(text[-_MOST_DIGITS:]) if len(text.lstrip("0")) <= _MOST_DIGITS else LONGEST_RETRY_AFTER_SECONDS
    else:
        try:
            date = parsedate_to_datetime(text)
            seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else None


def _target(url: str, allowed: Sequence[Network]) -> tuple[URL | None, str | None]:
    """The URL as it will be requested, or a sentence about why it will not be."""
    try:
        target = URL(url)
        is_whole = bool(target.raw_host) and target.scheme in {"http", "https"} and target.port is not None
    except (ValueError, IndexError):  # the latter is what the library says to https://[::1]@/
        is_whole, target = False, None
    if target is None or not is_whole:
        return None, "This is not a URL that webhooks can be sent to. It has to begin with https:// and name a host."
    if target.raw_user is not None or target.raw_password is not None:
        return None, "The URL has a user name or a password before its host; webhooks are not sent to such URLs."
    if target.scheme == "http" and not allowed:
        return None, f"Webhooks are sent by https, and this URL begins with http://. {_HOW_TO_ALLOW}"
    return target, None


def _refusal(target: URL, attempt: _Attempt) -> str:
    """Why no address could be connected to: the first says it for all."""
    address = attempt.refused[0]
    where = address if address == target.raw_host else f"{target.host} leads to {address}, which"
    parsed = parse_address(address)
    if parsed is not None and is_allowed(parsed, ()):
        return f"{where} is reached by https only, and this URL begins with http://. {_HOW_TO_ALLOW}"
    return f"{where} is not a public address; webhooks are not sent there. {_HOW_TO_ALLOW}"


def _judgement(status: int | None) -> tuple[Outcome, str | None]:
    """What an answer with this status means; it has been read, so there is one."""
    if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome.DELIVERED, None
    if status == HTTPStatus.GONE:
        return Outcome.GONE, "The recipient answered 410: it wants no more webhooks."
    if status is not None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Outcome.REJECTED, f"The recipient answered {status}, a redirect; redirects are not followed."
    return Outcome.REJECTED, f"The recipient answered {status}."


def _explanation(target: URL, error: Exception) -> str:
    """What went wrong on the way, in a sentence without the URL, whose path and query may be a secret."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            problem = f"{target.host} could not be looked up: {_reason(error)}."
        case aiohttp.ClientConnectorCertificateError():
            problem = f"The recipient's certificate is not valid: {_certificate_problem(error)}."
        case aiohttp.ClientConnectorSSLError():
            problem = f"No encrypted connection could be made with the recipient: {_reason(error)}."
        case aiohttp.ClientConnectorError():
            problem = f"{target.host} could not be reached on port {target.port}: {_reason(error)}."
        case aiohttp.InvalidURL():
            problem = "The host of the URL is written neither as a name nor as an address."
        case aiohttp.ClientResponseError():
            problem = "The recipient did not answer in the form of HTTP."
        case aiohttp.ClientError() | OSError():
            problem = "The connection broke before there was a whole answer."
        case _:
            problem = f"The webhook could not be sent ({type(error).__name__})."
    return problem


def _reason(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or "the handshake failed").replace("_", " ").lower()
    if cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    if isinstance(cause, ConnectionError):
        return "it ended the connection at once"
    return (cause.strerror or "none of its addresses answered").rstrip(".")


def _certificate_problem(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    message = getattr(cause, "verify_message", "") or "it could not be verified"
    return str(message).rstrip(".")
