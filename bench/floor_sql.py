"""The statements of the floor, which read and write the rows that the product reads and writes, and nothing else."""

from datetime import datetime
from uuid import UUID

import msgspec

from bench import dataset
from customary.domain.customer import Service
from customary.storage import customers

_ORGANIZATIONS = """
    (SELECT json_agg(json_build_object('id', o.id,
                'owner', json_build_object('id', w.id, 'name', w.legal_name),
                'members', (SELECT json_agg(json_build_object('id', mc.id, 'name', mc.legal_name)
                                ORDER BY m.created_at, m.customer_id)
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
"""
_CONTACTS = """
    (SELECT json_agg(json_build_object('id', k.id, 'name', k.name, 'email', k.email,
                'billingPreference', k.billing_preference, 'createdAt', k.created_at, 'updatedAt', k.updated_at)
                ORDER BY k.created_at, k.id)
       FROM contacts k
      WHERE k.account_id = c.account_id AND k.customer_id = c.id AND k.archived_at IS NULL)
"""
_SERVICES = "ARRAY[" + ", ".join(f"'{service.value}'" for service in Service) + "]"
_LINKS = f"""
    (SELECT json_agg(json_build_object('service', l.service, 'id', l.external_id, 'isPending', l.is_pending)
                ORDER BY array_position({_SERVICES}, l.service))
       FROM integration_links l
      WHERE l.account_id = c.account_id AND l.customer_id = c.id)
"""  # noqa: S608 - constants
_LISTED = f"""
    c.id, c.created_at, c.updated_at, {_ORGANIZATIONS}, c.legal_name, c.address, c.url, c.domain, c.label, {_LINKS},
    c.tax_status, c.custom_properties
"""
READ = f"SELECT {_LISTED}, {_CONTACTS}, c.status FROM customers c WHERE c.account_id = $1 AND c.id = $2"  # noqa: S608 - constants
PAGE = f"""
SELECT {_LISTED} FROM customers c WHERE c.account_id = $1 AND c.archived_at IS NULL
 ORDER BY c.created_at DESC, c.id DESC LIMIT $2
"""  # noqa: S608 - constants
COUNT = "SELECT count(*) FROM customers c WHERE c.account_id = $1 AND c.archived_at IS NULL"
_EXAMPLE = dataset.customer_of(0, 0, contacts=1)
_ROW = customers.values(UUID(int=0), _EXAMPLE)[2:]


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case datetime():
            return "now()"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


# What the rows have to differ in is taken from the new id, as much of it as the product's requests take from a number.
_NEW = "right(n.id::text, 12)"
_TEXTS = ", ".join(f"{_literal(value)} || {_NEW}" for value in _ROW[-3:])
_EVENT = msgspec.json.encode(_EXAMPLE).decode().replace("'", "''")
CREATE = f"""
WITH n AS (SELECT uuidv7() AS id),
c AS (INSERT INTO customers (account_id, id, {", ".join(dataset.COLUMNS["customers"][2:])})
    SELECT $1, n.id, {", ".join(_literal(value) for value in _ROW[:-3])}, {_TEXTS} FROM n),
k AS (INSERT INTO contacts ({", ".join(dataset.COLUMNS["contacts"])})
    SELECT $1, n.id, uuidv7(), 'Ada Lovelace', 'ada@' || {_NEW}, 'ada@' || {_NEW}, 'PRIMARY', now(), now() FROM n),
a AS (INSERT INTO customer_aliases ({", ".join(dataset.COLUMNS["customer_aliases"])})
    SELECT $1, n.id, uuidv7(), {_NEW}, now() FROM n),
l AS (INSERT INTO integration_links ({", ".join(dataset.COLUMNS["integration_links"])})
    SELECT $1, n.id, s.service, {_NEW}, false, now() FROM n, unnest(ARRAY['Stripe', 'Xero']) s (service)),
e AS (INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at)
    SELECT $1, uuidv7(), 'CUSTOMER_CREATED', n.id, 1, '{_EVENT}', now() FROM n),
g AS (INSERT INTO activity_logs (account_id, id, created_at, verb, object_type, object_id, object_reference,
        actor_type, actor_id, origin, api_version, trace_id, changes)
    SELECT $1, uuidv7(), now(), 'CREATED', 'CUSTOMER', n.id, n.id, 'API_KEY', $1, 'API', '2024-07-30', 'floor', '[]'
      FROM n),
i AS (INSERT INTO idempotency_keys (account_id, key, key_id, created_at, status, headers, body)
    SELECT $1, n.id::text, 'floor', now(), 201, '[]', convert_to('{_EVENT}', 'UTF8') FROM n)
SELECT '{_EVENT}' FROM n
"""  # noqa: S608 - constants
