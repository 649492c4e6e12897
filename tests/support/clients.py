"""Accounts of a test, each with a client that speaks to the application without a network in between."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import httpx
from msgspec import Struct
from tests.support.keys import KEYS
from tests.support.measured import MEASURED

from customary.app import Application
from customary.domain.account import Scope
from customary.metrics.process import Metrics
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key
from customary.storage.schema import SEARCH_PATH
from customary.storage.secret_keys import KeyRing

VERSIONS = ("2024-01-01", "2024-05-09", "2024-07-30")
FIRST, SECOND, NEWEST = VERSIONS

Json: TypeAlias = Any  # what a JSON body holds is for the test to say, by asserting it


class Client:
    """Sends requests under `/api` with one key. An answer of 500 or above fails the test, whatever it is about."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def request(
        self,
        method: str,
        path: str,
        *,
        version: str | None = None,
        json: Json = None,
        content: bytes | None = None,
        params: Json = None,
        headers: Json = (),
    ) -> httpx.Response:
        """The answer to this request; without `version` it names none. `headers` is a dict or a list of pairs."""
        all_headers: Json = list(headers.items() if isinstance(headers, dict) else headers)
        if version is not None:
            all_headers.append(("Sequence-Version", version))
        # A body of None would be sent as no body at all; where a test wants the JSON `null` it gives `content`.
        body: Json = {"json": json} if json is not None else {"content": content}
        response = await self.http.request(method, path, params=params, headers=all_headers, **body)
        assert response.status_code < 500, f"{method} {path} answered {response.status_code}: {response.text}"
        return response

    async def get(self, path: str, **options: Json) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Json) -> httpx.Response:
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Json) -> httpx.Response:
        return await self.request("PUT", path, **options)

    async def delete(self, path: str, **options: Json) -> httpx.Response:
        return await self.request("DELETE", path, **options)

    async def create(self, body: Json, *, version: str = NEWEST) -> Json:
        """The customer that this body makes, as the version shows it."""
        answer = success(await self.post("/customers", version=version, json=body), 201)
        return answer["customer"] if version == FIRST else answer

    async def customer(self, customer_id: str, *, version: str = NEWEST) -> Json:
        """The customer as the version shows it."""
        return success(await self.get(f"/customers/{customer_id}", version=version))

    async def update(self, customer_id: str, body: Json, *, version: str = NEWEST) -> Json:
        """The customer after this update, as the version shows it."""
        return success(await self.put(f"/customers/{customer_id}", version=version, json=body))

    async def archive(self, customer_id: str) -> Json:
        """The customer, archived."""
        return success(await self.post(f"/customers/{customer_id}/archive", version=NEWEST))

    async def page(self, *, version: str = NEWEST, **params: Json) -> Json:
        """A page of customers."""
        return success(await self.get("/customers", version=version, params=params))

    async def names(self, *, version: str = NEWEST, **params: Json) -> list[str]:
        """The legal names on a page of customers, in its order."""
        return [item["legalName"] for item in (await self.page(version=version, **params))["items"]]


class Account(Struct, frozen=True):
    """A tenant with one key and a client that uses it."""

    id: UUID
    client_id: str
    secret: str
    client: Client


def success(response: httpx.Response, status: int = 200) -> Json:
    """The body of an answer that must be a success."""
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text}"
    return response.json()


def refused(response: httpx.Response, status: int, kind: str) -> Json:
    """The error in an answer that must be a refusal in the envelope, of this type."""
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.text}"
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"error"}
    error = response.json()["error"]
    assert error.keys() in ({"type", "message"}, {"type", "message", "errors"})
    assert error["type"] == kind
    assert error["message"]
    for detail in error.get("errors", ()):
        assert detail.keys() == {"code", "message", "key", "errors"}
        assert detail["message"]
        assert detail["code"]
        assert detail["errors"] == []
    return error


def invalid(response: httpx.Response) -> dict[str, str]:
    """The code of each failing field of an answer that must be a validation error, by the field's key."""
    error = refused(response, 400, "validationError")
    return {detail["key"]: detail["code"] for detail in error.get("errors", ())}


@asynccontextmanager
async def started(
    database_url: str, pool_size: int = 5, *, has_mail: bool = True, keys: KeyRing = KEYS, metrics: Metrics = MEASURED
) -> AsyncGenerator[Application]:
    """The application on this database; it takes policies by e-mail, as if there was a mail server."""
    app = Application(database_url, pool_size, keys=keys, has_mail=has_mail, metrics=metrics)
    await app.startup()
    try:
        yield app
    finally:
        await app.shutdown()


@asynccontextmanager
async def client_of(app: Application, auth: tuple[str, str] | None) -> AsyncGenerator[Client]:
    """A client of the application."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://testserver/api", auth=auth, trust_env=False
    ) as http:
        yield Client(http)


@asynccontextmanager
async def owner_connection(owner_url: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the tables' owner, as the command line has it."""
    connection = await asyncpg.connect(owner_url, server_settings={"search_path": SEARCH_PATH})
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def new_account(app: Application, owner_url: str, name: str) -> AsyncGenerator[Account]:
    """A new tenant with a key that may read and write."""
    async with owner_connection(owner_url) as connection:
        account = await create_account(connection, name)
        client_id, secret = await new_key(connection, account.id)
    async with client_of(app, (client_id, secret)) as client:
        yield Account(account.id, client_id, secret, client)


async def new_key(
    connection: "asyncpg.Connection[asyncpg.Record]",
    account_id: UUID,
    *,
    scopes: frozenset[Scope] = frozenset(Scope),
    pinned_version: str | None = None,
    requests_per_minute: int | None = 1_000_000,
    ring: KeyRing = KEYS,
) -> tuple[str, str]:
    """The client id and the secret of a new key, which no test is to use up by accident."""
    key, secret = await create_key(
        connection,
        account_id,
        ring=ring,
        name="test",
        scopes=scopes,
        pinned_version=pinned_version,
        requests_per_minute=requests_per_minute,
    )
    return str(key.client_id), secret
