"""Gathers what is in the database and what the API shows of it, once all is calm: what `checker` compares with.

A change and the events that tell of it are rows of one transaction, and PostgreSQL notes in each row which that was.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import httpx
import msgspec
from tests.torture.history import Change, Stored, Version, item_tag_of, tag_of

from customary.api import conditions
from customary.api.versions.v2024_07_30.customers import to_wire
from customary.domain.customer import Customer

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# `xmin` is the transaction that stored a row, and both tables are only ever added to.
VERSIONS = """
SELECT c.customer, e.xmin::text::bigint AS transaction
  FROM complete_events c JOIN events e ON e.account_id = c.account_id AND e.id = c.id
 WHERE c.account_id = $1 ORDER BY e.customer_id, e.version
"""
CHANGES = """
SELECT trace_id, xmin::text::bigint AS transaction FROM activity_logs WHERE account_id = $1 AND actor_type = 'API_KEY'
"""
CUSTOMERS = "SELECT id, version FROM customers WHERE account_id = $1"
# A transaction of somebody who was killed may still be under way; also one of another account keeps the feed waiting.
BUSY = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND (state <> 'idle' OR backend_xid IS NOT NULL)
"""

_read_customer = msgspec.json.Decoder(Customer).decode
_encode = msgspec.json.Encoder().encode


async def calm(owner: Owner, timeout_seconds: float = 30) -> None:
    """Wait until the database has done what those who were killed had asked of it."""
    async with asyncio.timeout(timeout_seconds):
        while await owner.fetchval(BUSY):  # noqa: ASYNC110 - a database tells nobody when it is done
            await asyncio.sleep(0.02)


async def gather(owner: Owner, account_id: UUID, api: httpx.AsyncClient) -> Stored:
    """Everything about this account. `api` is a client with a key of it, whose base is `/api`."""
    await calm(owner)
    return Stored(
        versions=[_version(row) for row in await owner.fetch(VERSIONS, account_id)],
        changes=[
            Change(request_id=row["trace_id"], transaction=row["transaction"])
            for row in await owner.fetch(CHANGES, account_id)
        ],
        customers={str(row["id"]): row["version"] for row in await owner.fetch(CUSTOMERS, account_id)},
        feed=[(item["resourceId"], str(item["resourceVersion"])) async for item in _feed(api)],
        listed=[(item["id"], item_tag_of(item)) async for item in _pages(api)],
    )


def _version(row: Any) -> Version:  # noqa: ANN401 - a row
    customer = _read_customer(row["customer"])
    body = _encode(to_wire(customer))
    shown = msgspec.json.decode(body)
    return Version(
        customer=str(customer.id),
        number=customer.version,
        transaction=row["transaction"],
        etag=conditions.etag(body).decode(),
        tag=tag_of(shown),
        item_tag=item_tag_of(shown),
        text=row["customer"],
        created_at=customer.created_at.timestamp(),
        is_archived=customer.archived_at is not None,
        copies=(customer.label or "", customer.address.line1, customer.custom_properties.get("mark", "")),
    )


async def _feed(api: httpx.AsyncClient) -> AsyncGenerator[Any]:
    """Every event, in the order of the feed."""
    after: dict[str, str] = {}
    while True:
        page = await _page(api, "/events", {"limit": "100", **after})
        for item in page["items"]:
            yield item
        if not page["pagination"]["hasMore"]:
            return
        after = {"after": page["pagination"]["next"]}


async def _pages(api: httpx.AsyncClient) -> AsyncGenerator[Any]:
    """Every customer, page by page."""
    after: dict[str, str] = {}
    while True:
        wanted = {"limit": "100", "include": "contacts", "includeArchived": "true", **after}
        page = await _page(api, "/customers", wanted)
        for item in page["items"]:
            yield item
        if not page["pagination"].get("after"):
            return
        after = {"after": page["pagination"]["after"]}


async def _page(api: httpx.AsyncClient, path: str, parameters: dict[str, str]) -> Any:  # noqa: ANN401 - a body
    response = await api.get(path, params=parameters)
    assert response.status_code == 200, f"{path} answered {response.status_code}: {response.text}"
    return response.json()
