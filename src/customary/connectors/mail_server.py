"""Which mail server is used, and how: what an operator says with a URL and with the address of the sender."""

from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from customary.domain.values import check_email
from customary.errors import SetupError

URL_NAME = "CUSTOMARY_SMTP_URL"
SENDER_NAME = "CUSTOMARY_MAIL_FROM"
_TLS_PORT, _STARTTLS_PORT, _PLAIN_PORT = 465, 587, 25
_SWITCH = {"yes": True, "required": True, "no": False, "never": False}
_FORM = "Write it as smtp://user:password@host:587 or smtps://user:password@host:465."
_ESCAPE = "In the user and the password, write each of : / ? # [ ] @ % as its percent-encoding, such as %40 for @."


class MailServer(Struct, frozen=True, kw_only=True):
    """Where mail is handed in, and whose name it carries. `has_starttls` and `has_tls` are never both set."""

    host: str
    port: int
    has_tls: bool
    has_starttls: bool
    user: str | None = None
    password: str | None = None
    sender_name: str = ""
    sender_address: str

    @property
    def place(self) -> str:
        """The server for people, without its user and password."""
        return f"{'[' + self.host + ']' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_readable(self) -> bool:
        """Whether everybody on the way to the server reads along, the password included."""
        return not (self.has_tls or self.has_starttls or is_loopback(self.host))


def mail_server(url: str | None, sender: str | None) -> MailServer | None:
    """The server of these two settings, None where neither is set.

    Raises `SetupError` for one without the other and for what is malformed; it quotes nothing of the URL, where a
    password can turn up in any part of one that is written wrongly.
    """
    if url is None and sender is None:
        return None
    if url is None or sender is None:
        there, missing = (SENDER_NAME, URL_NAME) if url is None else (URL_NAME, SENDER_NAME)
        message = f"{there} is set and {missing} is not; mail needs both, or neither."
        raise SetupError(message)
    parts = _split(url)
    host, port = parts.hostname or "", parts.port
    has_tls = parts.scheme == "smtps"
    has_starttls = _starttls(parts, host)
    user, password = _credentials(parts)
    name, address = _sender(sender)
    own_port = _TLS_PORT if has_tls else _STARTTLS_PORT if has_starttls else _PLAIN_PORT
    return MailServer(
        host=host,
        port=own_port if port is None else port,
        has_tls=has_tls,
        has_starttls=has_starttls,
        user=user,
        password=password,
        sender_name=name,
        sender_address=address,
    )


def is_loopback(host: str) -> bool:
    """Whether this host is the machine itself, so that nobody is on the way to it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(url: str) -> SplitResult:
    if not url.isprintable() or any(character.isspace() for character in url):
        raise _malformed("It has white space or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _malformed(f"Its host or its port is none. {_ESCAPE}") from None
    if parts.scheme not in {"smtp", "smtps"}:
        raise _malformed("It does not begin with smtp:// or smtps://.")
    if not parts.hostname:
        raise _malformed("It names no host.")
    if port == 0:
        raise _malformed("Its port is 0.")
    if parts.path not in {"", "/"} or parts.fragment:
        raise _malformed(f"It has something behind the host that does not belong there. {_ESCAPE}")
    return parts


def _starttls(parts: SplitResult, host: str) -> bool:
    """Whether the connection is upgraded before anything is said: always, but for a reason."""
    try:
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise _malformed(f"What is behind the question mark is no option. {_ESCAPE}") from None
    asked = options.pop("starttls", None)
    if options or (asked is not None and asked not in _SWITCH):
        raise _malformed("Behind the question mark only starttls=yes or starttls=no is known.")
    if parts.scheme == "smtps":
        if asked is not None:
            raise _malformed("smtps:// is TLS from the start, so leave starttls out.")
        return False
    return not is_loopback(host) if asked is None else _SWITCH[asked]


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None and parts.password is None:
        return None, None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user or not password:
        raise _malformed("It has a user or a password and not both.")
    if not (user.isprintable() and password.isprintable()):
        raise _malformed("Its user or its password has control characters.")
    return user, password


def _sender(text: str) -> tuple[str, str]:
    """The name, which may be empty, and the address of the sender."""
    name, _, address = text[:-1].rpartition("<") if text.endswith(">") else ("", "", text)
    name = name.strip().strip('"')
    if not name.isprintable() or not _is_email(address):
        message = (
            f"{SENDER_NAME} is no e-mail address. Write it as customary@example.com or as"
            " Customary <customary@example.com>."
        )
        raise SetupError(message)
    return name, address


def _is_email(text: str) -> bool:
    try:
        check_email(text)
    except ValueError:
        return False
    return True


def _malformed(reason: str) -> SetupError:
    return SetupError(f"{URL_NAME} is not the URL of a mail server. {reason} {_FORM}")
