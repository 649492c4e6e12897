"""Customers with all that belongs to them: one statement reads one whole, and a save writes what changed."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID

import msgspec

from customary.domain.contacts import Contact, email_key
from customary.domain.customer import SERVICE_ORDER, Address, Alias, Customer, Link, Organization, Status, TaxStatus
from customary.domain.page import CustomerPart
from customary.domain.search import document, fold, index_key
from customary.domain.values import parse_id, sort_form
from customary.errors import NotFound
from customary.storage.database import Reading, Record, Tx

_ROW = """
    c.id, c.legal_name, c.label, c.url, c.domain, c.telephone, c.address, c.tax_status, c.status, c.custom_properties,
    c.version, c.created_at, c.updated_at, c.archived_at
"""
# The collections come joined as JSON, so that a customer is one row and one round trip. Each grows with the customer's
# own contacts, aliases, links and fellow members alone; every subquery is a range of an index led by the account.
_PARTS: dict[CustomerPart, str] = {
    CustomerPart.CONTACTS: """
    (SELECT json_agg(json_build_object('id', k.id, 'name', k.name, 'email', k.email,
                'billing_preference', k.billing_preference, 'created_at', k.created_at, 'updated_at', k.updated_at)
                ORDER BY k.created_at, k.id)
       FROM contacts k
      WHERE k.account_id = c.account_id AND k.customer_id = c.id AND k.archived_at IS NULL)
""",
    CustomerPart.ALIASES: """
    (SELECT json_agg(json_build_object('id', a.id, 'value', a.value, 'created_at', a.created_at, 'label', a.label)
                ORDER BY a.created_at, a.id)
       FROM customer_aliases a
      WHERE a.account_id = c.account_id AND a.customer_id = c.id)
""",
    CustomerPart.LINKS: """
    (SELECT json_agg(json_build_object('service', l.service, 'external_id', l.external_id,
                'is_pending', l.is_pending, 'created_at', l.created_at, 'last_synced_at', l.last_synced_at))
       FROM integration_links l
      WHERE l.account_id = c.account_id AND l.customer_id = c.id)
""",
    CustomerPart.ORGANIZATIONS: """
    (SELECT json_agg(json_build_object('id', o.id,
                'owner', json_build_object('id', w.id, 'name', w.legal_name),
                'members', (SELECT coalesce(json_agg(json_build_object('id', mc.id, 'name', mc.legal_name)
                                        ORDER BY m.created_at, m.customer_id), '[]')
                              FROM organization_members m
                              JOIN customers mc ON mc.account_id = m.account_id AND mc.id = m.customer_id
                             WHERE m.account_id = o.account_id AND m.organization_id = o.id))
                ORDER BY o.created_at, o.id)
       FROM organizations o
       JOIN customers w ON w.account_id = o.account_id AND w.id = o.owner_id
      WHERE o.account_id = c.account_id
        AND o.id IN (SELECT own.id FROM organizations own
                      WHERE own.account_id = c.account_id AND own.owner_id = c.id
                     UNION ALL
                     SELECT j.organization_id FROM organization_members j
                      WHERE j.account_id = c.account_id AND j.customer_id = c.id))
""",
}


def columns(parts: Collection[CustomerPart]) -> str:
    """The columns of a customer with these parts; without the others, which it then seems to have none of."""
    return ", ".join([_ROW, *(f"{text if part in parts else 'NULL'} AS {part}" for part, text in _PARTS.items())])


COLUMNS: Final = columns(CustomerPart)
# Without the organisations, which are other customers' as well.
OWN_COLUMNS: Final = ", ".join(
    [_ROW, *(f"{text} AS {part}" for part, text in _PARTS.items() if part is not CustomerPart.ORGANIZATIONS)]
)

GET = f"SELECT {COLUMNS} FROM customers c WHERE c.account_id = $1 AND c.id = $2"  # noqa: S608 - constants
# The comparison is with a subquery as a whole: under a policy one with an expression could not use the key.
GET_BY_ALIAS = f"""
SELECT {COLUMNS} FROM customers c
 WHERE c.account_id = $1
   AND c.id = (SELECT coalesce((SELECT a.customer_id FROM customer_aliases a
                                 WHERE a.account_id = $1 AND a.value = $2), $3))
"""  # noqa: S608 - constants
# In the order of `values`, `contact_values` and `link_values`.
COLUMN_NAMES = (
    *("account_id", "id", "legal_name", "legal_name_sort", "legal_name_search", "label", "label_sort", "label_search"),
    *("url", "domain", "telephone", "address", "tax_status", "status", "custom_properties", "version", "created_at"),
    *("updated_at", "archived_at", "search_emails", "search_document", "search_key"),
)
CONTACT_COLUMN_NAMES = (
    *("account_id", "customer_id", "id", "name", "email", "email_key", "billing_preference", "created_at"),
    "updated_at",
)
LINK_COLUMN_NAMES = (
    *("account_id", "customer_id", "service", "external_id", "is_pending", "created_at", "last_synced_at"),
)
LOCK = "SELECT 1 FROM customers WHERE account_id = $1 AND id = $2 FOR UPDATE"
INSERT = f"""
INSERT INTO customers ({", ".join(COLUMN_NAMES)})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
"""  # noqa: S608 - constants
UPDATE = """
UPDATE customers
   SET legal_name = $3, legal_name_sort = $4, legal_name_search = $5, label = $6, label_sort = $7, label_search = $8,
       url = $9, domain = $10, telephone = $11, address = $12, tax_status = $13, status = $14, custom_properties = $15,
       version = $16, created_at = $17, updated_at = $18, archived_at = $19, search_emails = $20, search_document = $21,
       search_key = $22
 WHERE account_id = $1 AND id = $2
"""
ARCHIVE_CONTACTS = """
UPDATE contacts SET archived_at = $4, updated_at = $4
 WHERE account_id = $1 AND customer_id = $2 AND id = ANY ($3::uuid[])
"""
# New rows come as one JSON text: as arrays, one for each column, they take the driver twice as long.
ADD_CONTACTS = """
INSERT INTO contacts (account_id, customer_id, id, name, email, email_key, billing_preference, created_at, updated_at)
SELECT $1, $2, k.* FROM json_to_recordset($3::json) AS k (id uuid, name text, email text, email_key text,
    billing_preference text, created_at timestamptz, updated_at timestamptz)
"""
SAVE_CONTACTS = f"""
{ADD_CONTACTS} ON CONFLICT (account_id, id) DO UPDATE
   SET name = excluded.name, email = excluded.email, email_key = excluded.email_key,
       billing_preference = excluded.billing_preference, updated_at = excluded.updated_at
"""  # noqa: S608 - a constant
DELETE_LINKS = """
DELETE FROM integration_links WHERE account_id = $1 AND customer_id = $2 AND service = ANY ($3::text[])
"""
ADD_LINKS = """
INSERT INTO integration_links (account_id, customer_id, service, external_id, is_pending, created_at, last_synced_at)
SELECT $1, $2, l.* FROM json_to_recordset($3::json) AS l (service text, external_id text, is_pending boolean,
    created_at timestamptz, last_synced_at timestamptz)
"""
SAVE_LINKS = f"""
{ADD_LINKS} ON CONFLICT (account_id, customer_id, service) DO UPDATE
   SET external_id = excluded.external_id, is_pending = excluded.is_pending, created_at = excluded.created_at,
       last_synced_at = excluded.last_synced_at
"""  # noqa: S608 - a constant

_read_address = msgspec.json.Decoder(Address).decode
_read_properties = msgspec.json.Decoder(dict[str, str]).decode
_read_contacts = msgspec.json.Decoder(tuple[Contact, ...]).decode
_read_aliases = msgspec.json.Decoder(tuple[Alias, ...]).decode
_read_links = msgspec.json.Decoder(tuple[Link, ...]).decode
_read_organizations = msgspec.json.Decoder(tuple[Organization, ...]).decode
_encode = msgspec.json.Encoder().encode


@cache
def _get(parts: tuple[CustomerPart, ...]) -> str:
    return GET.replace(COLUMNS, columns(parts))


async def get(
    reading: Reading, customer_id: UUID | None, parts: tuple[CustomerPart, ...] = tuple(CustomerPart)
) -> Customer:
    """The customer with this id, and with these parts. Raises `NotFound`, for a malformed id (None) too."""
    row = None
    if customer_id is not None:
        row = await reading.connection.fetchrow(_get(parts), reading.account_id, customer_id)
    if row is None:
        message = "There is no customer with this id."
        raise NotFound(message)
    return from_row(row)


async def get_for_update(tx: Tx, customer_id: UUID | None) -> Customer:
    """The customer with this id, locked until the transaction ends. Raises `NotFound`.

    The lock comes in a statement of its own: only the next one sees what the lock waited for.
    """
    if customer_id is not None:
        await tx.connection.fetchrow(LOCK, tx.account_id, customer_id)
    return await get(tx, customer_id)


async def get_by_alias(reading: Reading, alias: str) -> Customer:
    """The customer that this alias, or this customer id, names. Raises `NotFound`."""
    row = await reading.connection.fetchrow(GET_BY_ALIAS, reading.account_id, alias, parse_id(alias))
    if row is None:
        message = "There is no customer with this alias."
        raise NotFound(message)
    return from_row(row)


async def insert(tx: Tx, customer: Customer) -> None:
    """Store a new customer with its contacts and links."""
    tx.connection.later(INSERT, *values(tx.account_id, customer))
    if customer.contacts:
        tx.connection.later(ADD_CONTACTS, tx.account_id, customer.id, _contact_rows(customer.contacts))
    if customer.links:
        tx.connection.later(ADD_LINKS, tx.account_id, customer.id, _link_rows(customer.links))


async def save(tx: Tx, customer: Customer, *, before: Customer) -> None:
    """Store what changed: the row, the contacts (those no longer there are archived) and the links."""
    await tx.connection.execute(UPDATE, *values(tx.account_id, customer))
    await _save_contacts(tx, customer, before.contacts)
    await _save_links(tx, customer, before.links)


async def _save_contacts(tx: Tx, customer: Customer, before: tuple[Contact, ...]) -> None:
    remaining = {contact.id for contact in customer.contacts}
    gone = [contact.id for contact in before if contact.id not in remaining]
    if gone:  # first, because one that stays may take over the e-mail of one that goes
        await tx.connection.execute(ARCHIVE_CONTACTS, tx.account_id, customer.id, gone, tx.now)
    changed = [contact for contact in customer.contacts if contact not in before]
    if changed:
        await tx.connection.execute(SAVE_CONTACTS, tx.account_id, customer.id, _contact_rows(changed))


async def _save_links(tx: Tx, customer: Customer, before: tuple[Link, ...]) -> None:
    remaining = {link.service for link in customer.links}
    gone = [link.service.value for link in before if link.service not in remaining]
    if gone:
        await tx.connection.execute(DELETE_LINKS, tx.account_id, customer.id, gone)
    changed = [link for link in customer.links if link not in before]
    if changed:
        await tx.connection.execute(SAVE_LINKS, tx.account_id, customer.id, _link_rows(changed))


class _ContactRow(msgspec.Struct, frozen=True):
    """A contact as ADD_CONTACTS and SAVE_CONTACTS read it."""

    id: UUID
    name: str
    email: str
    email_key: str
    billing_preference: str
    created_at: datetime
    updated_at: datetime


def _contact_rows(contacts: Sequence[Contact]) -> str:
    return _encode(
        [
            _ContactRow(
                contact.id,
                contact.name,
                contact.email,
                email_key(contact.email),
                contact.billing_preference,
                contact.created_at,
                contact.updated_at,
            )
            for contact in contacts
        ]
    ).decode()


def _link_rows(links: Sequence[Link]) -> str:
    """The links as ADD_LINKS and SAVE_LINKS read them, by the names of their fields."""
    return _encode(links).decode()


def contact_values(account_id: UUID, customer: Customer) -> Iterator[tuple[object, ...]]:
    """The rows of a new customer's contacts, in the order of `CONTACT_COLUMN_NAMES`."""
    for contact in customer.contacts:
        preference, key = contact.billing_preference.value, email_key(contact.email)
        times = contact.created_at, contact.updated_at
        yield account_id, customer.id, contact.id, contact.name, contact.email, key, preference, *times


def link_values(account_id: UUID, customer: Customer) -> Iterator[tuple[object, ...]]:
    """The rows of a new customer's links, in the order of `LINK_COLUMN_NAMES`."""
    for link in customer.links:
        times = link.created_at, link.last_synced_at
        yield account_id, customer.id, link.service.value, link.external_id, link.is_pending, *times


def values(account_id: UUID, customer: Customer) -> tuple[object, ...]:
    """The parameters of INSERT and UPDATE, which share their order: that of `COLUMN_NAMES`."""
    label = customer.label
    emails = "\n".join(fold(contact.email) for contact in customer.contacts)
    found_by = _found_by(customer)
    return (
        account_id,
        customer.id,
        customer.legal_name,
        sort_form(customer.legal_name),
        fold(customer.legal_name),
        label,
        None if label is None else sort_form(label),
        None if label is None else fold(label),
        customer.url,
        customer.domain,
        customer.telephone,
        _encode(customer.address).decode(),
        customer.tax_status.value,
        customer.status.value,
        _encode(customer.custom_properties).decode(),
        customer.version,
        customer.created_at,
        customer.updated_at,
        customer.archived_at,
        emails,
        found_by,
        index_key(found_by),
    )


def _found_by(customer: Customer) -> str:
    """The text that a one-box search looks through for this customer.

    A pending link is left out: its id is the customer's own, and parts of random ids would be found as words.
    """
    own = (text for text in (customer.legal_name, customer.label, customer.domain) if text is not None)
    emails = (contact.email for contact in customer.contacts)
    aliases = (alias.value for alias in customer.aliases)
    external_ids = (link.external_id for link in customer.links if not link.is_pending)
    return document([*own, *emails, *aliases, *external_ids])


def from_row(row: Record) -> Customer:
    """The customer in a row of `COLUMNS`."""
    links = _read_links(row["links"] or "[]")
    return Customer(
        id=row["id"],
        legal_name=row["legal_name"],
        label=row["label"],
        url=row["url"],
        domain=row["domain"],
        telephone=row["telephone"],
        address=_read_address(row["address"]),
        tax_status=TaxStatus(row["tax_status"]),
        status=Status(row["status"]),
        custom_properties=_read_properties(row["custom_properties"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        archived_at=row["archived_at"],
        contacts=_read_contacts(row["contacts"] or "[]"),
        aliases=_read_aliases(row["aliases"] or "[]"),
        links=tuple(sorted(links, key=lambda link: SERVICE_ORDER[link.service])),
        organizations=_read_organizations(row["organizations"] or "[]"),
    )
