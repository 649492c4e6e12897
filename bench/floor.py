"""The floor: the least that any service of this shape could do for the same answer, as an ASGI application.

No routing, no authentication, no versions, no policies of the database: a prepared statement and its row put into
bytes, on the same server with the same number of processes and connections as the product. What it does comes from
the environment: FLOOR_WORK is `read`, `page`, `create` or `search`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from bench import floor_bodies, floor_sql
from customary.domain.customer import Address
from customary.storage.schema import SEARCH_PATH
from customary.uuid7 import uuid7

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Work: TypeAlias = Callable[[Any, UUID, Scope, Receive], Awaitable[bytes]]

_READY = "/ready"
_ID = slice(len("/api/customers/"), len("/api/customers/") + 36)
_PAGE = 100


_address = msgspec.json.Decoder(Address).decode
_properties = msgspec.json.Decoder(dict[str, str]).decode
_json = msgspec.json.Encoder().encode


async def read(pool: Any, account_id: UUID, scope: Scope, _receive: Receive) -> bytes:  # noqa: ANN401 - asyncpg's pool
    """The customer whose id the path ends with."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(floor_sql.READ, account_id, UUID(scope["path"][_ID]))
    return b'{%b,"contacts":%b,"status":"%b"}' % (_listed(row), _array(row[12]), row[13].encode())


async def page(pool: Any, account_id: UUID, _scope: Scope, _receive: Receive) -> bytes:  # noqa: ANN401 - asyncpg's pool
    """The newest customers, with the number of all."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(floor_sql.PAGE, account_id, _PAGE)
        count = await connection.fetchval(floor_sql.COUNT, account_id)
    items = b",".join([b"{%b}" % _listed(row) for row in rows])
    return b'{"items":[%b],"pagination":{"totalResultSize":%d}}' % (items, count)


def _listed(row: Any) -> bytes:  # noqa: ANN401 - a row of READ or PAGE
    """What lists show of a customer, in the order in which the API has it."""
    customer_id, created_at, updated_at, organizations, legal_name, address, url, domain, label, links = row[:10]
    optional = b"".join(
        b'"%b":%b,' % (name, _json(value))
        for name, value in ((b"url", url), (b"domain", domain), (b"label", label))
        if value is not None
    )
    return (
        b'"id":"%b","createdAt":"%b","updatedAt":"%b","organizations":%b,"legalName":%b,"address":%b,%b'
        b'"integrationIds":%b,"taxStatus":"%b","customProperties":%b'
    ) % (
        str(customer_id).encode(),
        floor_bodies.time_text(created_at),
        floor_bodies.time_text(updated_at),
        _array(organizations),
        _json(legal_name),
        _json(_address(address)),
        optional,
        _array(links),
        row[10].encode(),
        _json(_properties(row[11])),
    )


def _array(text: str | None) -> bytes:
    """PostgreSQL's array without spaces, its times written as the API does."""
    return b"[]" if text is None else msgspec.json.format(text.encode(), indent=-1).replace(b'+00:00"', b'Z"')


async def create(pool: Any, account_id: UUID, scope: Scope, receive: Receive) -> bytes:  # noqa: ANN401 - as above
    """The customer that the body asks for, with a contact, an alias and two links."""
    given = floor_bodies.decode((await receive())["body"])
    key = next(value for name, value in scope["headers"] if name == b"idempotency-key").decode()
    made = floor_bodies.make(given, datetime.now(UTC))
    answer = floor_bodies.answer(made)
    event, changes = _json(made), _json(floor_bodies.changes(made))
    contact, alias, links = made.contacts[0], made.aliases[0], made.links
    name, label, ids = made.legal_name, made.label, [link.external_id for link in links]
    found_by = "\n".join((name, label, made.domain, contact.email, alias.value, *ids)).casefold()
    parameters = (
        *(account_id, made.id, made.created_at, name, name.casefold(), label, label.casefold(), made.url, made.domain),
        *(bytes(given.address).decode(), made.tax_status, bytes(given.custom_properties).decode(), contact.email),
        *(found_by, contact.id, contact.name, contact.billing_preference, alias.id, alias.value, links[0].service),
        *(ids[0], links[1].service, ids[1], uuid7(), event.decode(), uuid7(), key, answer, changes.decode()),
    )
    async with pool.acquire() as connection:
        await connection.fetchval(floor_sql.CREATE, *parameters)
    return answer


async def search(pool: Any, account_id: UUID, scope: Scope, _receive: Receive) -> bytes:  # noqa: ANN401 - as above
    """How many customers have the word that the query ends with in what they are found by; the newest are read."""
    word = scope["query_string"].rpartition(b"=")[2].decode()
    async with pool.acquire() as connection:
        rows = await connection.fetch(floor_sql.SEARCH, account_id, f"%{word.lower()}%")
    return b'{"totalResultSize":%d}' % (rows[0]["total"] if rows else 0)


_WORK: dict[str, Work] = {"read": read, "page": page, "create": create, "search": search}


class Floor:
    """Answers every request by its one piece of work."""

    def __init__(self, url: str, pool_size: int, work: Work, account_id: UUID) -> None:
        self._url, self._pool_size, self._work, self._account_id = url, pool_size, work, account_id
        self._answer: Callable[[Scope, Receive], Awaitable[bytes]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await receive()
            pool = await asyncpg.create_pool(
                self._url,
                min_size=self._pool_size,
                max_size=self._pool_size,
                reset=_nothing,
                server_settings={"search_path": SEARCH_PATH, "timezone": "UTC", "jit": "off"},
            )
            self._answer = partial(self._work, pool, self._account_id)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            pool.terminate()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b"" if scope["path"] == _READY else await self._answer(scope, receive)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _nothing(_connection: object) -> None:
    """Nothing is left on a connection that would have to be reset."""
    await asyncio.sleep(0)


def create_application() -> Floor:
    """The floor that the environment describes."""
    given = os.environ
    return Floor(
        given["FLOOR_DATABASE_URL"],
        int(given["FLOOR_POOL_SIZE"]),
        _WORK[given["FLOOR_WORK"]],
        UUID(given["FLOOR_ACCOUNT"]),
    )
