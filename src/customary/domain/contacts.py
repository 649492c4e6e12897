"""The people of a customer, and the translation between them and the flat fields of the two older versions.

The older versions know one e-mail address, one contact name and a list of billing e-mails. Each is a view of the
contacts, and each write through that view keeps what the view cannot show.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from customary.errors import Conflict, Problem


class BillingPreference(StrEnum):
    """Whether a contact receives billing. Where any contact does, one of them must be PRIMARY."""

    PRIMARY = "PRIMARY"
    STANDARD = "STANDARD"
    NONE = "NONE"


class Contact(Struct, frozen=True):
    """A person or a mailbox of a customer. The e-mail is unique among the unarchived ones, ignoring case."""

    id: UUID
    name: str
    email: str
    billing_preference: BillingPreference
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None


class ContactWrite(Struct, frozen=True):
    """A contact as somebody asks for it."""

    name: str
    email: str
    billing_preference: BillingPreference


class FlatContacts(Struct, frozen=True):
    """The contacts of a customer as the two older versions write them."""

    email: str
    name: str | None = None
    billing_emails: tuple[str, ...] | UnsetType = UNSET


def email_key(email: str) -> str:
    """What makes two e-mail addresses the same one."""
    return email.casefold()


def primary(contacts: tuple[Contact, ...]) -> Contact | None:
    """The contact that the older versions show: the oldest PRIMARY one, else the oldest; None without any."""
    primaries = (contact for contact in contacts if contact.billing_preference is BillingPreference.PRIMARY)
    return next(primaries, contacts[0] if contacts else None)


def billing_emails(contacts: tuple[Contact, ...]) -> list[str]:
    """The addresses that receive billing, oldest contact first."""
    return [contact.email for contact in contacts if contact.billing_preference is not BillingPreference.NONE]


def rewrite(
    contacts: tuple[Contact, ...],
    wanted: tuple[ContactWrite, ...] | FlatContacts,
    *,
    legal_name: str,
    at: datetime,
    new_id: Callable[[], UUID],
) -> tuple[Contact, ...]:
    """These contacts after a write, oldest first: one with the same e-mail keeps its id and its creation time.

    Raises `Conflict` where the same e-mail is wanted twice.
    """
    writes = _unflatten(contacts, wanted, legal_name) if isinstance(wanted, FlatContacts) else wanted
    _refuse_repeated_emails(writes)
    held = {email_key(contact.email): contact for contact in contacts}
    result: list[Contact] = []
    for write in writes:
        before = held.get(email_key(write.email))
        if before is None:
            result.append(Contact(new_id(), write.name, write.email, write.billing_preference, at, at))
        else:
            result.append(_changed(before, write, at=at))
    return tuple(sorted(result, key=lambda contact: (contact.created_at, contact.id)))


def _changed(contact: Contact, write: ContactWrite, *, at: datetime) -> Contact:
    same = replace(contact, name=write.name, email=write.email, billing_preference=write.billing_preference)
    return contact if same == contact else replace(same, updated_at=at)


def _refuse_repeated_emails(writes: Iterable[ContactWrite]) -> None:
    seen: set[str] = set()
    problems: list[Problem] = []
    for position, write in enumerate(writes):
        key = email_key(write.email)
        if key in seen:
            message = f"'{write.email}' is the e-mail of another contact of this customer."
            problems.append(Problem(f"contacts[{position}].email", "duplicate", message))
        seen.add(key)
    if problems:
        message = "Each contact of a customer needs an e-mail of its own (upper and lower case count as the same)."
        raise Conflict(message, tuple(problems))


def _unflatten(contacts: tuple[Contact, ...], flat: FlatContacts, legal_name: str) -> tuple[ContactWrite, ...]:
    """The contacts that the flat fields mean, given the ones that are there."""
    chosen = email_key(flat.email)
    listed = None if flat.billing_emails is UNSET else {email_key(email): email for email in flat.billing_emails}
    held = [email_key(contact.email) for contact in contacts]
    position = held.index(chosen) if chosen in held else len(held)
    as_primary = ContactWrite(flat.name if flat.name is not None else legal_name, flat.email, BillingPreference.PRIMARY)
    writes = [
        as_primary if held[index] == chosen else _kept(contact, listed, is_older=index < position)
        for index, contact in enumerate(contacts)
    ]
    if chosen not in held:
        writes.append(as_primary)
    for key, email in (listed or {}).items():
        if key != chosen and key not in held:
            writes.append(ContactWrite(email, email, BillingPreference.STANDARD))
    return tuple(writes)


def _kept(contact: Contact, listed: dict[str, str] | None, *, is_older: bool) -> ContactWrite:
    """A contact that the flat e-mail does not name.

    One that is PRIMARY and older than the named contact becomes STANDARD: the oldest PRIMARY is the one that the flat
    e-mail reads, so it would hide what was just written.
    """
    preference, email = contact.billing_preference, contact.email
    if preference is BillingPreference.PRIMARY and is_older:
        preference = BillingPreference.STANDARD
    if listed is not None:
        email = listed.get(email_key(email))
        if email is None:
            return ContactWrite(contact.name, contact.email, BillingPreference.NONE)
        if preference is BillingPreference.NONE:
            preference = BillingPreference.STANDARD
    return ContactWrite(contact.name, email, preference)


def receiving_without_primary(preferences: Iterable[BillingPreference]) -> bool:
    """Whether contacts with these preferences receive billing and none of them is PRIMARY."""
    found = set(preferences)
    return BillingPreference.STANDARD in found and BillingPreference.PRIMARY not in found
