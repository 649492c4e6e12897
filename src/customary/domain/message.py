"""What people read in an e-mail: short plain text about one event, or about a recipient that was given a rest."""

from datetime import UTC, datetime
from unicodedata import category
from urllib.parse import urlsplit

from msgspec import Struct

from customary.domain.activity import EventType
from customary.domain.customer import Customer
from customary.domain.delivery import HOLD

_LONGEST_NAME = 100
# Control characters, separators of lines and paragraphs, halves of characters: what ends a line somewhere, or breaks
# the encoding.
_BREAKING = frozenset({"Cc", "Zl", "Zp", "Cs"})
# They turn the text around, so that what is read is not what is there.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Message(Struct, frozen=True):
    """An e-mail as far as its reader sees it."""

    subject: str
    text: str


def message(
    event_type: EventType,
    customer: Customer,
    *,
    account_name: str,
    at: datetime,
    policy_name: str,
    is_test: bool = False,
) -> Message:
    """What happened to which customer, and why the reader is told. A test says of itself that nothing happened."""
    what = event_type.value.replace("_", " ").capitalize()
    subject = f"{what}: {_shortened(customer.legal_name)}"
    reason = (
        f"You get this because the notification policy '{one_line(policy_name)}' names your address. To get no more of"
        " it, have your address removed from the policy."
    )
    again = "Should this message come twice, it is the same event: the customer's id and version say so."
    if is_test:
        opening = "This is a test that somebody asked for. Nothing happened, and the customer below does not exist."
        return _message(f"[Test] {subject}", opening, _table(what, customer, account_name, at), reason)
    return _message(subject, _table(what, customer, account_name, at), reason, again)


def paused_message(
    *,
    policy_name: str,
    account_name: str,
    recipient: str,
    reason: str | None,
    failing_since: datetime,
    is_disabled: bool = False,
) -> Message:
    """That a webhook's recipient only fails and was paused, or wants no more and was disabled, and what to do."""
    state = "disabled" if is_disabled else "paused"
    table = _rows(
        {
            "Recipient": _without_secrets(recipient),
            "Policy": one_line(policy_name),
            "Account": one_line(account_name),
            "Failing since": _time(failing_since),
            "Last problem": one_line(reason or "It gave no reason."),
        }
    )
    if is_disabled:
        opening = "A webhook recipient answered 410 Gone: it wants no more. Nothing is sent to it until it is resumed."
        advice = (
            "What to do: if it is really gone, remove the recipient from the policy. If not, repair what answers there"
            " and resume the recipient: customary deliveries resume, or POST recipients/resume of its policy."
        )
    else:
        opening = "A webhook recipient failed several times in a row, so that events wait for it now."
        advice = (
            "What to do: repair what answers there. It is tried now and then, and as soon as it takes one event it"
            " gets all that wait. To have that at once: customary deliveries resume, or POST recipients/resume of its"
            " policy. If it is not used any more, remove it from the policy."
        )
    hold = f"Events are kept for {HOLD.days} days and given up then. Other recipients are not affected."
    return _message(f"Webhook {state}: {_shortened(policy_name)}", opening, table, advice, hold)


def one_line(text: str) -> str:
    """This text on one line, whatever somebody has written into it; white space in a row counts once."""
    kept = ("" if each in _TURNING else " " if category(each) in _BREAKING else each for each in text)
    return " ".join("".join(kept).split())


def _table(what: str, customer: Customer, account_name: str, at: datetime) -> str:
    return _rows(
        {
            "Event": what,
            "When": _time(at),
            "Account": one_line(account_name),
            "Customer": one_line(customer.legal_name),
            "Label": one_line(customer.label or ""),
            "E-mail domain": one_line(customer.domain or ""),
            "Status": "ARCHIVED" if customer.archived_at is not None else customer.status.value,
            "Id": str(customer.id),
            "Version": str(customer.version),
        }
    )


def _rows(values: dict[str, str]) -> str:
    """One line for each value that there is, the values below each other."""
    there = {name: value for name, value in values.items() if value}
    width = max(map(len, there)) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in there.items())


def _message(subject: str, *paragraphs: str) -> Message:
    return Message(subject, "\n\n".join(paragraphs) + "\n")


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shortened(name: str) -> str:
    line = one_line(name)
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1].rstrip()}…"


def _without_secrets(url: str) -> str:
    """A recipient's URL without what can stand for a password in it: the user and the query."""
    parts = urlsplit(url)
    return one_line(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl())
