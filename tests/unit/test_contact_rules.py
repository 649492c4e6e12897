"""What single writes on contacts and aliases may make of a customer: the rules hold after any sequence of them."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.strategies import NOW, contact_lists, emails, preferences

from customary.domain import aliases as alias_rules
from customary.domain import contacts as rules
from customary.domain import customer as customer_rules
from customary.domain.aliases import AliasWrite
from customary.domain.contacts import (
    MAXIMUM_CONTACTS,
    BillingPreference,
    Contact,
    ContactWrite,
    email_key,
    receiving_without_primary,
)
from customary.domain.customer import MAXIMUM_ALIASES, Address, Alias, Customer, Status, TaxStatus
from customary.errors import Conflict, Invalid

PRIMARY, STANDARD, NONE = BillingPreference.PRIMARY, BillingPreference.STANDARD, BillingPreference.NONE
LATER = NOW + timedelta(seconds=1)
writes = st.builds(ContactWrite, name=st.sampled_from(["Ada", "Grace"]), email=emails, billing_preference=preferences)


def ids(first: int = 1000) -> Callable[[], UUID]:
    numbers = count(first)
    return lambda: UUID(int=next(numbers))


def person(number: int, preference: BillingPreference = NONE, email: str | None = None) -> Contact:
    return Contact(UUID(int=number), "Ada", email or f"p{number}@example.com", preference, NOW, NOW)


def customer(**changes: object) -> Customer:
    return replace(
        Customer(
            id=UUID(int=7),
            legal_name="Acme",
            address=Address("1 Street", "Town", "1", "GB"),
            tax_status=TaxStatus.TAXED,
            status=Status.ACTIVE,
            created_at=NOW,
            updated_at=NOW,
        ),
        **changes,
    )


def assert_sound(contacts: tuple[Contact, ...]) -> None:
    """What is true of a customer's contacts at any time."""
    assert not receiving_without_primary(contact.billing_preference for contact in contacts)
    assert len({email_key(contact.email) for contact in contacts}) == len(contacts)
    assert list(contacts) == sorted(contacts, key=lambda contact: (contact.created_at, contact.id))
    assert all(contact.archived_at is None for contact in contacts)


@given(
    contacts=contact_lists(with_primary=True),
    steps=st.lists(
        st.tuples(st.sampled_from(["create", "update", "archive"]), writes, st.integers(0, 9)), min_size=1, max_size=12
    ),
)
def test_the_rules_hold_after_any_writes(
    contacts: tuple[Contact, ...], steps: list[tuple[str, ContactWrite, int]]
) -> None:
    """A write is either refused or leaves sound contacts, of which it touched no other."""
    new_id = ids()
    for verb, write, number in steps:
        chosen = contacts[number % len(contacts)] if contacts else None
        try:
            if verb == "create" or chosen is None:
                after = rules.create(contacts, write, at=LATER, new_id=new_id)
            elif verb == "update":
                after = rules.update(contacts, chosen, write, at=LATER)
            else:
                after = rules.archive(contacts, chosen, at=LATER)
        except (Conflict, Invalid):
            continue
        placed = rules.place(contacts, after)
        assert_sound(placed)
        assert set(placed) - {after} == {contact for contact in contacts if contact.id != after.id}
        assert (after in placed) == (after.archived_at is None)
        contacts = placed


@given(contacts=contact_lists(with_primary=True), write=writes)
def test_a_create_is_refused_only_for_a_reason(contacts: tuple[Contact, ...], write: ContactWrite) -> None:
    is_taken = email_key(write.email) in {email_key(contact.email) for contact in contacts}
    if is_taken:
        with pytest.raises(Conflict):
            rules.create(contacts, write, at=LATER, new_id=ids())
        return
    made = rules.create(contacts, write, at=LATER, new_id=ids())
    assert (made.name, made.email, made.billing_preference) == (write.name, write.email, write.billing_preference)
    assert made.created_at == made.updated_at == LATER


@given(contacts=contact_lists(with_primary=True), data=st.data())
def test_an_update_with_what_is_there_changes_nothing(contacts: tuple[Contact, ...], data: st.DataObject) -> None:
    contact = data.draw(st.sampled_from(contacts))
    same = ContactWrite(contact.name, contact.email, contact.billing_preference)
    assert rules.update(contacts, contact, same, at=LATER) is contact


def test_an_update_keeps_the_id_and_the_time_of_creation() -> None:
    before = person(1)
    after = rules.update((before,), before, ContactWrite("Bea", "P1@example.com", PRIMARY), at=LATER)
    assert after == Contact(before.id, "Bea", "P1@example.com", PRIMARY, NOW, LATER)


@pytest.mark.parametrize(
    ("others", "preference", "is_refused"),
    [
        ((), NONE, False),
        ((), PRIMARY, False),
        ((), STANDARD, True),
        ((NONE,), STANDARD, True),
        ((STANDARD,), NONE, True),
        ((STANDARD,), STANDARD, True),
        ((STANDARD,), PRIMARY, False),
        ((STANDARD, PRIMARY), NONE, False),
        ((PRIMARY,), STANDARD, False),
    ],
)
def test_who_receives_billing_needs_a_primary(
    others: tuple[BillingPreference, ...], preference: BillingPreference, *, is_refused: bool
) -> None:
    """Of a contact that is PRIMARY now: the update to this preference, beside these others."""
    contact = person(1, PRIMARY)
    contacts = (contact, *(person(number, each) for number, each in enumerate(others, 2)))
    write = ContactWrite("Ada", contact.email, preference)
    if not is_refused:
        assert rules.update(contacts, contact, write, at=LATER).billing_preference is preference
        return
    with pytest.raises(Invalid) as refusal:
        rules.update(contacts, contact, write, at=LATER)
    assert [(problem.key, problem.code) for problem in refusal.value.problems] == [("billingPreference", "noPrimary")]


def test_the_last_primary_goes_only_where_nobody_else_receives_billing() -> None:
    primary, standard, none = person(1, PRIMARY), person(2, STANDARD), person(3)
    with pytest.raises(Invalid, match="PRIMARY") as refusal:
        rules.archive((primary, standard), primary, at=LATER)
    assert [(problem.key, problem.code) for problem in refusal.value.problems] == [("", "noPrimary")]
    archived = rules.archive((primary, none), primary, at=LATER)
    assert (archived.archived_at, archived.updated_at) == (LATER, LATER)
    assert rules.archive((none,), archived, at=LATER + timedelta(days=1)) is archived


def test_an_archived_contact_is_not_written_to() -> None:
    archived = replace(person(1), archived_at=NOW)
    with pytest.raises(Conflict, match="archived"):
        rules.update((), archived, ContactWrite("Ada", "p1@example.com", NONE), at=LATER)


def test_one_contact_too_many_is_refused() -> None:
    contacts = tuple(person(number) for number in range(1, MAXIMUM_CONTACTS + 1))
    write = ContactWrite("Ada", "new@example.com", NONE)
    with pytest.raises(Invalid) as refusal:
        rules.create(contacts, write, at=LATER, new_id=ids())
    assert [problem.code for problem in refusal.value.problems] == ["tooMany"]
    assert rules.create(contacts[1:], write, at=LATER, new_id=ids())


def test_the_domain_follows_the_contacts_unless_there_is_a_url() -> None:
    contacts = (person(1, PRIMARY, "ada@shop.example.co.uk"),)
    changed = customer_rules.with_contacts(customer(), contacts, at=LATER)
    assert (changed.domain, changed.contacts) == ("example.co.uk", contacts)
    assert (changed.version, changed.updated_at) == (2, LATER)
    assert customer_rules.with_contacts(changed, (), at=LATER).domain is None
    named = customer_rules.with_contacts(customer(url="https://www.example.com/"), contacts, at=LATER)
    assert named.domain == "example.com"


# --- Aliases ---


def test_an_alias_comes_last_and_counts_as_a_change() -> None:
    first = Alias(UUID(int=1), "one", NOW)
    before = customer(aliases=(first,))
    after, alias = alias_rules.add(before, AliasWrite("two", "CRM"), at=LATER, new_id=ids())
    assert alias == Alias(UUID(int=1000), "two", LATER, "CRM")
    assert after == replace(before, aliases=(first, alias), version=2, updated_at=LATER)


def test_aliases_are_in_the_order_in_which_they_are_read() -> None:
    """A transaction that waited has an older time than what it waited for wrote."""
    newer = Alias(UUID(int=1), "one", LATER)
    after, alias = alias_rules.add(customer(aliases=(newer,)), AliasWrite("two"), at=NOW, new_id=ids())
    assert after.aliases == (alias, newer)


def test_the_own_id_is_no_alias_to_add() -> None:
    for value in (str(customer().id), str(customer().id).upper()):
        with pytest.raises(Conflict, match="already and always"):
            alias_rules.add(customer(), AliasWrite(value), at=LATER, new_id=ids())


def test_one_alias_too_many_is_refused() -> None:
    aliases = tuple(Alias(UUID(int=number), str(number), NOW) for number in range(MAXIMUM_ALIASES))
    with pytest.raises(Invalid) as refusal:
        alias_rules.add(customer(aliases=aliases), AliasWrite("new"), at=LATER, new_id=ids())
    assert [(problem.key, problem.code) for problem in refusal.value.problems] == [("customerId", "tooMany")]
    after, _ = alias_rules.add(customer(aliases=aliases[1:]), AliasWrite("new"), at=LATER, new_id=ids())
    assert len(after.aliases) == MAXIMUM_ALIASES


def test_a_label_is_replaced_in_place_and_the_same_one_changes_nothing() -> None:
    one, two = Alias(UUID(int=1), "one", NOW, "CRM"), Alias(UUID(int=2), "two", NOW)
    before = customer(aliases=(one, two))
    after, alias = alias_rules.relabel(before, one, None, at=LATER)
    assert alias == replace(one, label=None)
    assert after == replace(before, aliases=(alias, two), version=2, updated_at=LATER)
    same, alias = alias_rules.relabel(before, one, "CRM", at=LATER)
    assert (same is before, alias is one) == (True, True)


def test_a_removed_alias_is_the_only_one_that_goes() -> None:
    one, two = Alias(UUID(int=1), "one", NOW), Alias(UUID(int=2), "two", NOW)
    before = customer(aliases=(one, two))
    assert alias_rules.remove(before, one, at=LATER) == replace(before, aliases=(two,), version=2, updated_at=LATER)


def test_the_aliases_of_an_archived_customer_stay() -> None:
    alias = Alias(UUID(int=1), "one", NOW, "CRM")
    archived = customer(aliases=(alias,), archived_at=NOW)
    with pytest.raises(Conflict, match="archived"):
        alias_rules.add(archived, AliasWrite("two"), at=LATER, new_id=ids())
    with pytest.raises(Conflict, match="archived"):
        alias_rules.relabel(archived, alias, "CRM", at=LATER)
    with pytest.raises(Conflict, match="archived"):
        alias_rules.remove(archived, alias, at=LATER)
