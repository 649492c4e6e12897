"""What people read about an event and about a recipient that only fails."""

from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from customary.domain import example
from customary.domain.activity import EventType
from customary.domain.customer import Customer
from customary.domain.message import Message, message, one_line, paused_message

AT = datetime(2026, 5, 4, 14, 3, 7, tzinfo=timezone(timedelta(hours=2)))
CUSTOMER = replace(example.customer(), id=UUID(int=7), legal_name="Ada & Söhne", label="Key account", version=3)
NASTY = "Ada\r\nBcc: eve@example.com\u2028\x85\x0b\x0cCustomer:\tBob"


def about(customer: Customer = CUSTOMER, event_type: EventType = EventType.CUSTOMER_UPDATED, **given: bool) -> Message:
    return message(event_type, customer, account_name="Acme", at=AT, policy_name="Finance", **given)


def paused(**changes: str | bool | None) -> Message:
    given: dict[str, object] = {
        "policy_name": "Finance",
        "account_name": "Acme",
        "recipient": "https://ada:hidden@hooks.example.com:8443/customers?token=secret#part",
        "reason": "It answered 503.",
        "failing_since": AT,
        **changes,
    }
    return paused_message(**given)  # pyright: ignore[reportArgumentType] - the defaults with changes of a test


def test_an_event() -> None:
    """The reader learns what happened, when, where, to whom, and how to be told no more."""
    assert about() == Message(
        "Customer updated: Ada & Söhne",
        """\
Event:         Customer updated
When:          2026-05-04 12:03:07 UTC
Account:       Acme
Customer:      Ada & Söhne
Label:         Key account
E-mail domain: example.com
Status:        ACTIVE
Id:            00000000-0000-0000-0000-000000000007
Version:       3

You get this because the notification policy 'Finance' names your address. To get no more of it, have your address \
removed from the policy.

Should this message come twice, it is the same event: the customer's id and version say so.
""",
    )


@pytest.mark.parametrize(
    ("event_type", "subject"),
    [
        (EventType.CUSTOMER_CREATED, "Customer created: Ada & Söhne"),
        (EventType.CUSTOMER_UPDATED, "Customer updated: Ada & Söhne"),
        (EventType.CUSTOMER_ARCHIVED, "Customer archived: Ada & Söhne"),
    ],
)
def test_the_subject_says_what_happened(event_type: EventType, subject: str) -> None:
    assert about(event_type=event_type).subject == subject


def test_what_a_customer_does_not_have_takes_no_line() -> None:
    text = about(replace(CUSTOMER, label=None, domain=None)).text
    assert "Label" not in text
    assert "E-mail domain" not in text


def test_an_archived_customer_says_so() -> None:
    assert "Status:        ARCHIVED\n" in about(replace(CUSTOMER, archived_at=AT)).text


def test_a_test_says_that_nothing_happened() -> None:
    """Nobody is to look for the example, or to take it for a repetition of something."""
    made = about(is_test=True)
    assert made.subject == "[Test] Customer updated: Ada & Söhne"
    assert made.text.startswith("This is a test that somebody asked for. Nothing happened")
    assert "twice" not in made.text


def test_a_name_cannot_write_lines_of_its_own() -> None:
    """Whoever names a customer does not write the message about it, nor its headers."""
    plain, nasty = about(), about(replace(CUSTOMER, legal_name=NASTY, label=NASTY))
    assert nasty.subject == "Customer updated: Ada Bcc: eve@example.com Customer: Bob"
    assert len(nasty.text.splitlines()) == len(plain.text.splitlines())
    assert "Customer:      Ada Bcc: eve@example.com Customer: Bob\n" in nasty.text


def test_a_long_name_is_cut_in_the_subject_only() -> None:
    made = about(replace(CUSTOMER, legal_name="x" * 255))
    assert made.subject == f"Customer updated: {'x' * 99}…"
    assert f"Customer:      {'x' * 255}\n" in made.text


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    """No character that any reader takes for the end of a line is left, and doing it again changes nothing."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line
    line.encode()


def test_one_line_does_not_turn_text_around() -> None:
    """A file name or an amount that reads backwards is a known trick; joined letters of Persian stay joined."""
    assert one_line("a\u202egpj.exe\u2066b") == "agpj.exeb"
    assert one_line("می\u200cخواهم") == "می\u200cخواهم"


def test_a_paused_recipient() -> None:
    """The people of the account learn which one it is, since when and why, and what to do."""
    made = paused()
    assert made.subject == "Webhook paused: Finance"
    assert "Recipient:     https://hooks.example.com:8443/customers\n" in made.text
    assert "Policy:        Finance\n" in made.text
    assert "Account:       Acme\n" in made.text
    assert "Failing since: 2026-05-04 12:03:07 UTC\n" in made.text
    assert "Last problem:  It answered 503.\n" in made.text
    assert "What to do: repair what answers there." in made.text
    assert "30 days" in made.text


def test_a_disabled_recipient() -> None:
    made = paused(is_disabled=True, reason=None)
    assert made.subject == "Webhook disabled: Finance"
    assert "410 Gone" in made.text
    assert "resume the recipient" in made.text
    assert "Last problem:  It gave no reason.\n" in made.text


def test_no_secret_of_a_recipient_is_mailed() -> None:
    """A URL can carry a password or a token, and mail is read by more than those who may."""
    for made in (paused(), paused(is_disabled=True)):
        assert not {word for word in ("ada", "hidden", "token", "secret", "part") if word in made.text}
