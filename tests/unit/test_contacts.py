"""The contacts of a customer and the flat fields of the older versions: translations that lose nothing."""

from collections.abc import Callable
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace
from tests.support.strategies import NOW, contact_lists, flat_contacts

from customary.api.bodies import flat_contact
from customary.domain.contacts import (
    BillingPreference,
    Contact,
    ContactWrite,
    FlatContacts,
    billing_emails,
    email_key,
    primary,
    receiving_without_primary,
    rewrite,
)
from customary.domain.customer import Address, Customer, Status, TaxStatus
from customary.errors import Conflict

PRIMARY, STANDARD, NONE = BillingPreference.PRIMARY, BillingPreference.STANDARD, BillingPreference.NONE
LEGAL_NAME = "Acme"


def ids() -> Callable[[], UUID]:
    numbers = count(1000)
    return lambda: UUID(int=next(numbers))


def written(contacts: tuple[Contact, ...], wanted: FlatContacts | tuple[ContactWrite, ...]) -> tuple[Contact, ...]:
    return rewrite(contacts, wanted, legal_name=LEGAL_NAME, at=NOW, new_id=ids())


def keys(addresses: list[str] | tuple[str, ...]) -> set[str]:
    return {email_key(address) for address in addresses}


def customer(contacts: tuple[Contact, ...]) -> Customer:
    return Customer(
        id=UUID(int=7),
        legal_name=LEGAL_NAME,
        address=Address("1 Street", "Town", "1", "GB"),
        tax_status=TaxStatus.TAXED,
        status=Status.ACTIVE,
        created_at=NOW,
        updated_at=NOW,
        contacts=contacts,
    )


def flat_view(contacts: tuple[Contact, ...]) -> FlatContacts:
    """What a client of an older version reads, and sends back when it changes nothing of it."""
    read = flat_contact(customer(contacts))
    return FlatContacts(read.email, None if read.name is UNSET else read.name, tuple(read.billing_emails))


@given(contacts=contact_lists(), flat=flat_contacts)
def test_what_an_older_version_writes_is_what_it_reads_back(contacts: tuple[Contact, ...], flat: FlatContacts) -> None:
    after = written(contacts, flat)
    shown = primary(after)
    assert shown is not None
    assert shown.email == flat.email
    assert shown.billing_preference is PRIMARY
    assert shown.name == (LEGAL_NAME if flat.name is None else flat.name)
    assert flat.billing_emails is not UNSET
    # The address listed last wins over another spelling of it, and the main contact's own over any.
    spelled = {email_key(address): address for address in (*flat.billing_emails, flat.email)}
    assert sorted(billing_emails(after)) == sorted(spelled.values())


@given(contacts=contact_lists(with_primary=True))
def test_writing_back_what_was_read_changes_nothing(contacts: tuple[Contact, ...]) -> None:
    """Several PRIMARY contacts stay PRIMARY, NONE contacts stay, and so do ids, names and times."""
    assert written(contacts, flat_view(contacts)) == contacts


@given(contacts=contact_lists(), flat=flat_contacts)
def test_no_contact_is_lost_or_renamed_by_an_older_version(contacts: tuple[Contact, ...], flat: FlatContacts) -> None:
    """Only the contact that the e-mail names changes its name."""
    after = {contact.id: contact for contact in written(contacts, flat)}
    for before in contacts:
        kept = after[before.id]
        assert email_key(kept.email) == email_key(before.email)
        assert kept.created_at == before.created_at
        if email_key(before.email) != email_key(flat.email):
            assert kept.name == before.name


@given(contacts=contact_lists(), flat=flat_contacts)
def test_a_contact_that_no_billing_email_names_receives_none(contacts: tuple[Contact, ...], flat: FlatContacts) -> None:
    assert flat.billing_emails is not UNSET
    listed = keys([*flat.billing_emails, flat.email])
    after = written(contacts, flat)
    assert {email_key(contact.email) for contact in after if contact.billing_preference is not NONE} == listed


@given(contacts=contact_lists(), flat=flat_contacts)
def test_without_billing_emails_everybody_keeps_receiving_what_they_did(
    contacts: tuple[Contact, ...], flat: FlatContacts
) -> None:
    after = written(contacts, replace(flat, billing_emails=UNSET))
    assert keys(billing_emails(after)) == keys(billing_emails(contacts)) | {email_key(flat.email)}


@given(contacts=contact_lists(), flat=flat_contacts)
def test_a_new_billing_email_becomes_a_standard_contact_named_after_it(
    contacts: tuple[Contact, ...], flat: FlatContacts
) -> None:
    before = {contact.id for contact in contacts}
    for contact in written(contacts, flat):
        if contact.id not in before and contact.email != flat.email:
            assert (contact.name, contact.billing_preference) == (contact.email, STANDARD)


@given(contacts=contact_lists(), flat=flat_contacts)
def test_contacts_come_oldest_first_with_an_email_each(contacts: tuple[Contact, ...], flat: FlatContacts) -> None:
    after = written(contacts, flat)
    assert list(after) == sorted(after, key=lambda contact: (contact.created_at, contact.id))
    assert len({email_key(contact.email) for contact in after}) == len(after)


@given(contacts=contact_lists(), flat=flat_contacts)
def test_a_second_equal_write_changes_nothing(contacts: tuple[Contact, ...], flat: FlatContacts) -> None:
    once = written(contacts, flat)
    assert written(once, flat) == once


@given(contacts=contact_lists(), others=contact_lists())
def test_full_contacts_replace_all_and_keep_ids_by_email(
    contacts: tuple[Contact, ...], others: tuple[Contact, ...]
) -> None:
    writes = tuple(ContactWrite(each.name, each.email, each.billing_preference) for each in others)
    after = written(contacts, writes)
    held = {email_key(contact.email): contact for contact in contacts}
    assert {(each.name, each.email, each.billing_preference) for each in after} == {
        (each.name, each.email, each.billing_preference) for each in writes
    }
    for contact in after:
        before = held.get(email_key(contact.email))
        if before is None:
            assert (contact.created_at, contact.updated_at) == (NOW, NOW)
        else:
            assert (contact.id, contact.created_at) == (before.id, before.created_at)
            is_same = replace(contact, updated_at=before.updated_at) == before
            assert contact.updated_at == (before.updated_at if is_same else NOW)


def test_the_same_email_twice_is_a_conflict_that_names_each_repetition() -> None:
    writes = tuple(
        ContactWrite("n", email, PRIMARY)
        for email in ("a@example.com", "A@Example.com", "b@example.com", "b@example.com")
    )
    with pytest.raises(Conflict) as refused:
        written((), writes)
    assert [problem.key for problem in refused.value.problems] == ["contacts[1].email", "contacts[3].email"]


def test_the_older_versions_show_the_oldest_primary_contact() -> None:
    older = Contact(UUID(int=1), "n", "none@example.com", NONE, NOW, NOW)
    first = Contact(UUID(int=2), "n", "first@example.com", PRIMARY, NOW, NOW)
    second = Contact(UUID(int=3), "n", "second@example.com", PRIMARY, NOW, NOW)
    assert primary((older, first, second)) == first


def test_without_a_primary_contact_the_older_versions_show_the_oldest() -> None:
    first = Contact(UUID(int=1), "n", "first@example.com", NONE, NOW, NOW)
    second = Contact(UUID(int=2), "n", "second@example.com", STANDARD, NOW, NOW)
    assert primary((first, second)) == first


def test_without_contacts_there_is_no_primary() -> None:
    assert primary(()) is None


@given(st.lists(st.sampled_from(BillingPreference)))
def test_receiving_without_primary(preferences: list[BillingPreference]) -> None:
    receives = STANDARD in preferences or PRIMARY in preferences
    assert receiving_without_primary(preferences) == (receives and PRIMARY not in preferences)
