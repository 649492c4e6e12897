"""What a create, an update and an archive make of a customer."""

from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
from msgspec.structs import replace
from tests.support.strategies import NOW

from customary.domain import customer as rules
from customary.domain.contacts import BillingPreference, ContactWrite, FlatContacts
from customary.domain.customer import (
    Address,
    Customer,
    CustomerWrite,
    Link,
    LinkWrite,
    Service,
    Status,
    TaxStatus,
    View,
)
from customary.errors import Conflict, Invalid

LATER = NOW + timedelta(hours=1)
BERLIN = Address("Invalidenstr. 1", "Berlin", "10115", "DE")
IQALUIT = Address("1 Nunavut Drive", "Iqaluit", "X0A 0H0", "CA", state="NU")
ADA = ContactWrite("Ada", "ada@acme.example", BillingPreference.PRIMARY)
WRITE = CustomerWrite(legal_name="Acme", address=BERLIN, contacts=(ADA,))
OLDER = View(services=frozenset({Service.XERO, Service.STRIPE}), hidden_states=frozenset({"NU"}))

_numbers = count(1)


def new_id() -> UUID:
    return UUID(int=next(_numbers))


def created(**changes: object) -> Customer:
    return rules.create(replace(WRITE, **changes), at=NOW, new_id=new_id)


def updated(customer: Customer, **changes: object) -> Customer:
    return rules.update(customer, replace(WRITE, **changes), at=LATER, new_id=new_id)


def links(customer: Customer) -> dict[Service, str]:
    return {link.service: link.external_id for link in customer.links}


def test_a_customer_is_active_and_taxed_unless_said_otherwise() -> None:
    customer = created()
    assert (customer.status, customer.tax_status) == (Status.ACTIVE, TaxStatus.TAXED)
    assert (customer.created_at, customer.updated_at, customer.archived_at, customer.version) == (NOW, NOW, None, 1)


def test_an_update_that_changes_nothing_is_the_same_object() -> None:
    customer = created()
    assert updated(customer) is customer


def test_an_update_moves_the_time_and_the_version() -> None:
    customer = updated(created(), label="new")
    assert (customer.label, customer.updated_at, customer.created_at, customer.version) == ("new", LATER, NOW, 2)


def test_an_omitted_url_and_label_are_cleared_and_an_unmentioned_telephone_stays() -> None:
    customer = updated(created(url="https://acme.example/", label="l", telephone="1"))
    assert (customer.url, customer.label, customer.telephone) == (None, None, "1")


def test_a_telephone_of_none_is_cleared() -> None:
    assert updated(created(telephone="1"), telephone=None).telephone is None


def test_omitted_collections_stay() -> None:
    before = created(aliases=("a",), links=(LinkWrite(Service.XERO, "1"),), custom_properties={"k": "v"})
    after = updated(before, label="new")
    assert (after.aliases, after.links, after.custom_properties) == (
        before.aliases,
        before.links,
        before.custom_properties,
    )


def test_given_collections_replace() -> None:
    before = created(aliases=("a", "b"), links=(LinkWrite(Service.XERO, "1"),), custom_properties={"k": "v"})
    after = updated(before, aliases=("b", "c"), links=(), custom_properties={})
    assert [alias.value for alias in after.aliases] == ["b", "c"]
    assert after.aliases[0] == before.aliases[1]
    assert after.links == ()
    assert after.custom_properties == {}


def test_aliases_lose_repetitions_and_the_customers_own_id() -> None:
    customer = created(aliases=("a", "a", "b"))
    assert [alias.value for alias in customer.aliases] == ["a", "b"]
    assert [alias.value for alias in updated(customer, aliases=("a", str(customer.id))).aliases] == ["a"]


def test_an_active_customer_cannot_become_a_draft() -> None:
    with pytest.raises(Conflict, match="DRAFT"):
        updated(created(), status=Status.DRAFT)


def test_a_draft_becomes_active_when_asked_and_stays_a_draft_when_not() -> None:
    draft = created(status=Status.DRAFT)
    assert updated(draft, label="x").status is Status.DRAFT
    assert updated(draft, status=Status.ACTIVE).status is Status.ACTIVE


def test_archiving_twice_is_archiving_once() -> None:
    archived = rules.archive(created(), at=LATER)
    assert (archived.archived_at, archived.updated_at, archived.version) == (LATER, LATER, 2)
    assert rules.archive(archived, at=LATER + timedelta(hours=1)) is archived


def test_an_archived_customer_cannot_be_updated() -> None:
    with pytest.raises(Conflict, match="archived"):
        updated(rules.archive(created(), at=LATER))


def test_links_come_in_the_published_order() -> None:
    customer = created(
        links=(LinkWrite(Service.SPHERE, "s"), LinkWrite(Service.HUBSPOT, "h"), LinkWrite(Service.XERO, "x"))
    )
    assert list(links(customer)) == [Service.HUBSPOT, Service.XERO, Service.SPHERE]


def test_links_that_a_version_cannot_show_survive_its_writes() -> None:
    before = created(links=(LinkWrite(Service.XERO, "x"), LinkWrite(Service.SPHERE, "s")))
    assert links(updated(before, links=(LinkWrite(Service.STRIPE, "cus"),), view=OLDER)) == {
        Service.STRIPE: "cus",
        Service.SPHERE: "s",
    }


def test_a_link_given_again_keeps_what_the_service_said() -> None:
    before = created(links=(LinkWrite(Service.XERO, "x"),))
    synced = replace(before, links=(replace(before.links[0], last_synced_at=NOW),))
    assert updated(synced, links=(LinkWrite(Service.XERO, "x"),)).links == synced.links


def test_a_link_to_another_id_starts_anew() -> None:
    before = created(links=(LinkWrite(Service.XERO, "x"),))
    synced = replace(before, links=(replace(before.links[0], last_synced_at=NOW),))
    assert updated(synced, links=(LinkWrite(Service.XERO, "y"),)).links == (Link(Service.XERO, "y", created_at=LATER),)


def test_a_push_makes_a_pending_link_under_the_customers_own_id() -> None:
    customer = created(push_to=(Service.XERO,))
    assert customer.links == (Link(Service.XERO, str(customer.id), created_at=NOW, is_pending=True),)


def test_a_push_leaves_a_link_that_is_there() -> None:
    customer = created(links=(LinkWrite(Service.XERO, "x"),), push_to=(Service.XERO,))
    assert customer.links == (Link(Service.XERO, "x", created_at=NOW),)


@pytest.mark.parametrize(
    ("country", "state", "code"),
    [
        ("US", "NY", None),
        ("US", None, "required"),
        ("US", "ON", "state"),
        ("CA", "NU", None),
        ("CA", None, "required"),
        ("CA", "NY", "state"),
        ("GB", None, None),
        ("DE", "NY", None),
    ],
)
def test_a_state_is_needed_in_two_countries(country: str, state: str | None, code: str | None) -> None:
    problem = rules.state_problem(country, state)
    assert (problem and problem.code) == code


def test_an_address_without_its_state_is_refused_under_its_key() -> None:
    with pytest.raises(Invalid) as refused:
        created(address=replace(IQALUIT, state=None))
    assert [problem.key for problem in refused.value.problems] == ["address.state"]


def test_a_territory_that_a_version_cannot_show_survives_its_writes() -> None:
    before = created(address=IQALUIT)
    after = updated(before, address=replace(IQALUIT, state=None, line1="2 Nunavut Drive"), view=OLDER)
    assert after.address == replace(IQALUIT, line1="2 Nunavut Drive")


def test_a_territory_goes_when_the_address_moves() -> None:
    before = created(address=IQALUIT)
    assert updated(before, address=BERLIN, view=OLDER).address == BERLIN
    assert updated(before, address=replace(IQALUIT, state="ON"), view=OLDER).address.state == "ON"


def test_the_newest_version_cannot_leave_a_territory_out() -> None:
    with pytest.raises(Invalid):
        updated(created(address=IQALUIT), address=replace(IQALUIT, state=None))


def test_more_contacts_than_a_customer_may_have_are_refused() -> None:
    writes = tuple(replace(ADA, email=f"a{number}@example.com") for number in range(60))
    flat = FlatContacts("a0@example.com", billing_emails=tuple(f"b{number}@example.com" for number in range(60)))
    with pytest.raises(Invalid, match="at most 100"):
        updated(created(contacts=writes), contacts=flat)


@pytest.mark.parametrize(
    ("url", "email", "domain"),
    [
        ("https://www.acme.co.uk/shop", "ada@other.example.com", "acme.co.uk"),
        (None, "ada@mail.acme.de", "acme.de"),
        ("http://localhost/", "ada@acme.de", "acme.de"),
        (None, "ada@gmail.com", None),
        (None, "ada@GMail.com", None),
        ("https://gmail.com/", "ada@acme.de", "gmail.com"),
        ("https://127.0.0.1/", "ada@gmail.com", None),
    ],
)
def test_domain_of_the_url_else_of_the_primary_contact(url: str | None, email: str, domain: str | None) -> None:
    assert created(url=url, contacts=(replace(ADA, email=email),)).domain == domain


def test_a_contact_that_is_not_primary_gives_no_domain() -> None:
    standard = replace(ADA, billing_preference=BillingPreference.STANDARD)
    assert created(contacts=(standard,)).domain is None
