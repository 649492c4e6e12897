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

from customary.errors import Conflict, Invalid, Problem

MAXIMUM_CONTACTS = 100


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


def create(contacts: tuple[Contact, ...], write: ContactWrite, *, at: datetime, new_id: Callable[[], UUID]) -> Contact:
    """The contact that this write adds to these. Raises `Invalid` or `Conflict`."""
    if len(contacts) >= MAXIMUM_CONTACTS:
        message = f"A customer has at most {MAXIMUM_CONTACTS} contacts. Archive one before you add another."
        raise Invalid(message, (Problem("", "tooMany", message),))
    contact = Contact(new_id(), write.name, write.email, write.billing_preference, at, at)
    _require_primary(place(contacts, contact), "billingPreference")
    _require_own_email(contacts, contact)
    return contact


def update(contacts: tuple[Contact, ...], contact: Contact, write: ContactWrite, *, at: datetime) -> Contact:
    """This contact, one of these, after a write; the same object when nothing changes.

    Raises `Invalid`, or `Conflict` for a taken e-mail and for a contact that is archived.
    """
    if contact.archived_at is not None:
        message = f"Contact {contact.id} is archived and cannot be changed."
        raise Conflict(message)
    after = _changed(contact, write, at=at)
    _require_primary(place(contacts, after), "billingPreference")
    _require_own_email(contacts, after)
    return after


def archive(contacts: tuple[Contact, ...], contact: Contact, *, at: datetime) -> Contact:
    """This contact, one of these, archived; the same object when it already is.

    Raises `Invalid` where those that are left would receive billing without a PRIMARY among them.
    """
    if contact.archived_at is not None:
        return contact
    after = replace(contact, archived_at=at, updated_at=at)
    _require_primary(place(contacts, after), "")
    return after


def place(contacts: tuple[Contact, ...], contact: Contact) -> tuple[Contact, ...]:
    """These contacts with this one in its place, oldest first; without it once it is archived."""
    others = [other for other in contacts if other.id != contact.id]
    kept = [] if contact.archived_at is not None else [contact]
    return tuple(sorted((*others, *kept), key=lambda each: (each.created_at, each.id)))


def _require_primary(contacts: tuple[Contact, ...], key: str) -> None:
    if receiving_without_primary(contact.billing_preference for contact in contacts):
        message = "This would leave contacts that receive billing and none of them PRIMARY. Make one PRIMARY first."
        raise Invalid(message, (Problem(key, "noPrimary", message),))


def _require_own_email(contacts: tuple[Contact, ...], contact: Contact) -> None:
    wanted = email_key(contact.email)
    holder = next((each for each in contacts if each.id != contact.id and email_key(each.email) == wanted), None)
    if holder is not None:
        message = (
            f"'{holder.email}' is the e-mail of contact {holder.id} of this customer; each contact needs its own"
            " (upper and lower case count as the same)."
        )
        raise Conflict(message, (Problem("email", "duplicate", message),))


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
