"""Accounts with as many customers as wanted, made by a seed: the same customers whoever makes them, and wherever.

Each has one to three contacts, an alias and two links, and every tenth one belongs to an organisation. They are put
into the tables by COPY, without events and activities, which nothing here reads.
"""

import random
import string
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct
from rich.progress import Progress

from customary.domain.contacts import BillingPreference, Contact
from customary.domain.customer import Address, Alias, Customer, Link, Service, Status, TaxStatus, domain_of
from customary.operations.accounts import create_account
from customary.storage import accounts, customers
from customary.storage.database import Connection

SEED = 20240730
_BATCH = 5_000
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
# One owner and its members, in each group of customers that follow one another.
_GROUP, _MEMBERS = 50, 4
_SYLLABLES = tuple(first + second for first in "bdfgklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "er"))
_FORMS = ("Ltd", "GmbH", "SARL", "Inc", "AB", "Oy", "BV", "SpA", "Société", "Özel")
_TOWNS = (("Berlin", "DE"), ("Paris", "FR"), ("London", "GB"), ("Wien", "AT"), ("Zürich", "CH"), ("Kraków", "PL"))
_SERVICES = tuple(Service)

COLUMNS: dict[str, tuple[str, ...]] = {
    "customers": (
        *("account_id", "id", "legal_name", "legal_name_sort", "legal_name_search", "label", "label_sort"),
        *("label_search", "url", "domain", "telephone", "address", "tax_status", "status", "custom_properties"),
        *("version", "created_at", "updated_at", "archived_at", "search_emails", "search_document", "search_key"),
    ),
    "contacts": (
        *("account_id", "customer_id", "id", "name", "email", "email_key", "billing_preference"),
        *("created_at", "updated_at"),
    ),
    "customer_aliases": ("account_id", "customer_id", "id", "value", "created_at"),
    "integration_links": ("account_id", "customer_id", "service", "external_id", "is_pending", "created_at"),
    "organizations": ("account_id", "id", "owner_id", "created_at"),
    "organization_members": ("account_id", "organization_id", "customer_id", "is_by_parent", "created_at"),
}


class DataSet(Struct, frozen=True):
    """An account and how many customers it has."""

    account_id: UUID
    size: int


def name_of(size: int) -> str:
    """What the account with so many customers is called."""
    return f"bench {size}"


async def ensure(owner: Connection, sizes: Iterable[int]) -> dict[int, DataSet]:
    """The accounts with so many customers; those that are not there yet are made."""
    found = {account.name: account.id for account in await accounts.all_accounts(owner)}
    made: dict[int, DataSet] = {}
    for size in sizes:
        if name_of(size) in found:
            made[size] = DataSet(found[name_of(size)], size)
            continue
        async with owner.transaction():
            account = await create_account(owner, name_of(size))
            await _fill(owner, account.id, size)
        made[size] = DataSet(account.id, size)
        await owner.execute("VACUUM (ANALYZE)")
    return made


async def _fill(owner: Connection, account_id: UUID, size: int) -> None:
    with Progress(transient=True) as progress:
        task = progress.add_task(f"{size:,} customers", total=size)
        for first in range(0, size, _BATCH):
            batch = [customer_of(size, number) for number in range(first, min(size, first + _BATCH))]
            await store(owner, account_id, batch)
            progress.update(task, completed=first + len(batch))


async def store(owner: Connection, account_id: UUID, batch: Sequence[Customer]) -> None:
    """Put these customers into the tables; every fiftieth owns an organisation of the four that follow it."""
    for table, rows in _rows(account_id, batch).items():
        await owner.copy_records_to_table(table, records=rows, columns=COLUMNS[table])


def _rows(account_id: UUID, batch: Sequence[Customer]) -> dict[str, Iterable[tuple[object, ...]]]:
    owners = batch[::_GROUP]
    return {
        "customers": (customers.values(account_id, each) for each in batch),
        "contacts": ((account_id, customer.id, *_row_of(each)) for customer in batch for each in customer.contacts),
        "customer_aliases": (
            (account_id, customer.id, each.id, each.value, each.created_at)
            for customer in batch
            for each in customer.aliases
        ),
        "integration_links": (
            (account_id, customer.id, each.service.value, each.external_id, each.is_pending, each.created_at)
            for customer in batch
            for each in customer.links
        ),
        "organizations": ((account_id, _organization_id(each), each.id, each.created_at) for each in owners),
        "organization_members": (
            (account_id, _organization_id(owner), member.id, False, member.created_at)
            for position, owner in enumerate(owners)
            for member in batch[position * _GROUP + 1 : position * _GROUP + 1 + _MEMBERS]
        ),
    }


def _row_of(contact: Contact) -> tuple[object, ...]:
    preference, email = contact.billing_preference.value, contact.email
    return contact.id, contact.name, email, email.casefold(), preference, contact.created_at, contact.updated_at


def _organization_id(owner: Customer) -> UUID:
    return UUID(int=owner.id.int ^ 1)


def customer_of(size: int, number: int, *, contacts: int | None = None) -> Customer:
    """The customer with this number in a data set of this size; with so many contacts where that is said."""
    chance = random.Random(f"{SEED} {size} {number}")  # noqa: S311 - it makes examples, and guards nothing
    at = _FIRST + timedelta(seconds=number, microseconds=chance.randrange(1_000_000))
    legal_name = f"{_word(chance).title()} {_word(chance).title()} {chance.choice(_FORMS)}"
    domain = f"{_word(chance)}{number}.com"
    url = f"https://www.{domain}/"
    people = tuple(_contact(chance, at, domain, position) for position in range(contacts or 1 + number % 3))
    town, country = chance.choice(_TOWNS)
    address = Address(f"{_word(chance).title()}straße {number % 200}", town, f"{chance.randrange(100_000):05}", country)
    first, second = chance.sample(_SERVICES, 2)
    return Customer(
        id=_id(chance, at),
        legal_name=legal_name,
        label=f"{_word(chance)} {number}",
        url=url,
        domain=domain_of(url, people),
        address=address,
        tax_status=TaxStatus.TAXED,
        status=Status.ACTIVE,
        created_at=at,
        updated_at=at,
        contacts=people,
        aliases=(Alias(_id(chance, at), f"{size}-{number}", at),),
        links=(Link(first, _code(chance), at), Link(second, _code(chance), at)),
        custom_properties={"region": country, "segment": str(number % 7)},
    )


def _contact(chance: random.Random, at: datetime, domain: str, position: int) -> Contact:
    preference = BillingPreference.STANDARD if position else BillingPreference.PRIMARY
    name = f"{_word(chance).title()} {_word(chance).title()}"
    return Contact(_id(chance, at), name, f"{name.replace(' ', '.').lower()}{position}@{domain}", preference, at, at)


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4)))


def _code(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters + string.digits, k=14))


def _id(chance: random.Random, at: datetime) -> UUID:
    """A UUID of version 7 (RFC 9562), whose random bits are not random here."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62))


def ids_of(size: int, count: int) -> Iterator[UUID]:
    """The ids of so many customers of a data set, spread over all of it."""
    for position in range(count):
        yield customer_of(size, position * size // count).id
