"""The customers of the data sets in the tables of the FastAPI service, put there by COPY at the start of each run."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import asyncpg
import msgspec

from bench import dataset
from bench.dataset import DataSet
from customary.domain.customer import Customer
from customary.storage.database import Connection

_SCHEMA = "peer"
_BATCH = 5_000
_GROUP, _MEMBERS = 50, 4  # as in the data set: who owns an organisation, and how many that follow belong to it
_COLUMNS: dict[str, tuple[str, ...]] = {
    "customers": (
        *("account_id", "id", "legal_name", "label", "url", "domain", "address", "tax_status", "status"),
        *("custom_properties", "created_at", "updated_at"),
    ),
    "contacts": ("customer_id", "id", "name", "email", "billing_preference", "created_at", "updated_at"),
    "customer_aliases": ("account_id", "customer_id", "id", "value", "created_at"),
    "integration_ids": ("customer_id", "service", "external_id", "is_pending", "created_at"),
    "organizations": ("account_id", "id", "owner_id", "created_at"),
    "organization_members": ("organization_id", "customer_id", "created_at"),
}


def load(url: str, sets: Mapping[int, DataSet]) -> dict[int, str]:
    """Replace whatever is there by these data sets; what a key of each is sent as."""
    return asyncio.run(_load(url, sets))


async def _load(url: str, sets: Mapping[int, DataSet]) -> dict[int, str]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"TRUNCATE {_SCHEMA}.accounts CASCADE")
        authorizations = {size: await _account(connection, each) for size, each in sets.items()}
        for size, each in sets.items():
            await _fill(connection, each.account_id, size)
        for table in ("accounts", "api_keys", *_COLUMNS):
            await connection.execute(f"VACUUM (ANALYZE) {_SCHEMA}.{table}")
    finally:
        await connection.close()
    return authorizations


async def _account(connection: Connection, account: DataSet) -> str:
    client_id, secret = f"bench-{account.size}", secrets.token_urlsafe(32)
    await connection.execute(
        f"INSERT INTO {_SCHEMA}.accounts (id, name) VALUES ($1, $2)",  # noqa: S608 - a constant
        account.account_id,
        dataset.name_of(account.size),
    )
    await connection.execute(
        f"INSERT INTO {_SCHEMA}.api_keys (client_id, account_id, secret_hash) VALUES ($1, $2, $3)",  # noqa: S608 - a constant
        client_id,
        account.account_id,
        hashlib.sha256(secret.encode()).digest(),
    )
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


async def _fill(connection: Connection, account_id: UUID, size: int) -> None:
    for first in range(0, size, _BATCH):
        batch = [dataset.customer_of(size, number) for number in range(first, min(size, first + _BATCH))]
        for table, rows in _rows(account_id, batch).items():
            columns = _COLUMNS[table]
            await connection.copy_records_to_table(table, schema_name=_SCHEMA, records=rows, columns=columns)


def _rows(account_id: UUID, batch: Sequence[Customer]) -> dict[str, Iterable[tuple[object, ...]]]:
    owners = batch[::_GROUP]
    return {
        "customers": (_customer(account_id, each) for each in batch),
        "contacts": (
            (owner.id, each.id, each.name, each.email, each.billing_preference.value, each.created_at, each.updated_at)
            for owner in batch
            for each in owner.contacts
        ),
        "customer_aliases": (
            (account_id, owner.id, each.id, each.value, each.created_at) for owner in batch for each in owner.aliases
        ),
        "integration_ids": (
            (owner.id, each.service.value, each.external_id, each.is_pending, each.created_at)
            for owner in batch
            for each in owner.links
        ),
        "organizations": ((account_id, _organization_id(each), each.id, each.created_at) for each in owners),
        "organization_members": (
            (_organization_id(owner), member.id, member.created_at)
            for position, owner in enumerate(owners)
            for member in batch[position * _GROUP : position * _GROUP + 1 + _MEMBERS]
        ),
    }


def _customer(account_id: UUID, each: Customer) -> tuple[object, ...]:
    return (
        *(account_id, each.id, each.legal_name, each.label, each.url, each.domain),
        *(msgspec.json.encode(each.address).decode(), each.tax_status.value, each.status.value),
        *(msgspec.json.encode(each.custom_properties).decode(), each.created_at, each.updated_at),
    )


def _organization_id(owner: Customer) -> UUID:
    return UUID(int=owner.id.int ^ 1)
