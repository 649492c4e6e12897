"""The mail server that an operator names: which ports and which protection follow from it, and what is refused."""

import pytest

from customary.connectors.mail_server import MailServer, mail_server
from customary.errors import SetupError

SENDER = "customary@example.com"


def server(url: str, sender: str = SENDER) -> MailServer:
    made = mail_server(url, sender)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("url", "host", "port", "has_tls", "has_starttls"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, False, True),
        ("smtp://mail.example.com/", "mail.example.com", 587, False, True),
        ("smtp://mail.example.com:2525", "mail.example.com", 2525, False, True),
        ("smtp://192.0.2.1?starttls=no", "192.0.2.1", 25, False, False),
        ("smtp://mail.example.com:26?starttls=never", "mail.example.com", 26, False, False),
        ("smtp://mail.example.com/?starttls=yes", "mail.example.com", 587, False, True),
        ("smtp://localhost", "localhost", 25, False, False),
        ("smtp://127.9.9.9", "127.9.9.9", 25, False, False),
        ("smtp://[::1]:1025", "::1", 1025, False, False),
        ("smtp://localhost?starttls=required", "localhost", 587, False, True),
        ("smtps://mail.example.com", "mail.example.com", 465, True, False),
        ("smtps://localhost:1465", "localhost", 1465, True, False),
        ("SMTPS://Mail.Example.com", "mail.example.com", 465, True, False),
        ("smtp://localhost.example.com", "localhost.example.com", 587, False, True),
    ],
)
def test_ports_and_protection(url: str, host: str, port: int, has_tls: bool, has_starttls: bool) -> None:
    """Nothing goes unprotected to another machine unless somebody wrote so."""
    made = server(url)
    assert (made.host, made.port, made.has_tls, made.has_starttls) == (host, port, has_tls, has_starttls)
    assert (made.user, made.password) == (None, None)


@pytest.mark.parametrize(
    ("url", "is_readable"),
    [
        ("smtp://mail.example.com", False),
        ("smtps://mail.example.com", False),
        ("smtp://127.0.0.1", False),
        ("smtp://mail.example.com?starttls=no", True),
    ],
)
def test_who_reads_along(url: str, is_readable: bool) -> None:
    assert server(url).is_readable is is_readable


def test_credentials_are_decoded_and_not_shown() -> None:
    made = server("smtps://post%40example.com:h%2Fi%3Ad%25d%23en%C3%BC@mail.example.com:4465")
    assert (made.user, made.password) == ("post@example.com", "h/i:d%d#enü")
    assert made.place == "mail.example.com:4465"
    assert server("smtp://[2001:db8::1]").place == "[2001:db8::1]:587"


@pytest.mark.parametrize(
    ("sender", "name", "address"),
    [
        (SENDER, "", SENDER),
        ("Customary <customary@example.com>", "Customary", SENDER),
        ('"Billing, Ltd" <customary@example.com>', "Billing, Ltd", SENDER),
        ("Größe <post@größe.example>", "Größe", "post@größe.example"),
        ("<customary@example.com>", "", SENDER),
    ],
)
def test_senders(sender: str, name: str, address: str) -> None:
    made = server("smtp://localhost", sender)
    assert (made.sender_name, made.sender_address) == (name, address)


@pytest.mark.parametrize(
    "url",
    [
        "hidden",
        "https://post:hidden@mail.example.com",
        "mail.example.com:587",
        "smtp://",
        "smtp://:587",
        "smtp://post:hidden@",
        "smtp://post:hid/den@mail.example.com",
        "smtp://post:hid#den@mail.example.com",
        "smtp://post:hid?den@mail.example.com",
        "smtp://post:1/hidden@mail.example.com",
        "smtp://post:[hidden@mail.example.com",
        "smtp://post:hidden@mail.example.com:port",
        "smtp://post:hidden@mail.example.com:70000",
        "smtp://post:hidden@mail.example.com:0",
        "smtp://post:hidden@mail.example.com/hidden",
        "smtp://post:hidden@mail.example.com#hidden",
        "smtp://post:hidden@mail.example.com?starttls=maybe",
        "smtp://post:hidden@mail.example.com?starttls",
        "smtp://post:hidden@mail.example.com?tls=hidden",
        "smtps://post:hidden@mail.example.com?starttls=yes",
        "smtp://post@mail.example.com",
        "smtp://:hidden@mail.example.com",
        "smtp://post:hid%00den@mail.example.com",
        "smtp://post:hidden@mail.example.com\n",
        "smtp://post:hid den@mail.example.com",
    ],
)
def test_a_malformed_url_is_one_sentence_without_the_password(url: str) -> None:
    """Whatever is wrong, and wherever a password that was not encoded has landed."""
    with pytest.raises(SetupError) as refusal:
        mail_server(url, SENDER)
    said = str(refusal.value)
    assert said.startswith("CUSTOMARY_SMTP_URL is not the URL of a mail server. ")
    assert "smtps://user:password@host:465" in said
    assert not {word for word in ("hid", "den", "post:", "70000") if word in said}


@pytest.mark.parametrize(
    "sender",
    [
        "customary",
        "a@example.com, b@example.com",
        "a@example.com b",
        "Eve\r\nBcc: <a@example.com>",
        "A <a@example.com",
        "<>",
    ],
)
def test_a_sender_that_is_none(sender: str) -> None:
    with pytest.raises(SetupError, match="CUSTOMARY_MAIL_FROM is no e-mail address"):
        mail_server("smtp://localhost", sender)


def test_both_or_neither() -> None:
    """Half of it would be noticed only when the first mail is due."""
    assert mail_server(None, None) is None
    with pytest.raises(SetupError, match="CUSTOMARY_SMTP_URL is set and CUSTOMARY_MAIL_FROM is not"):
        mail_server("smtp://localhost", None)
    with pytest.raises(SetupError, match="CUSTOMARY_MAIL_FROM is set and CUSTOMARY_SMTP_URL is not"):
        mail_server(None, SENDER)
