"""The tenant, and the keys that open it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    WRITE = "write"


class Account(Struct, frozen=True):
    """A tenant: everything else belongs to exactly one."""

    id: UUID
    name: str
    created_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as it is kept: its secret only as a hash.

    `pinned_version` answers requests that name no version; `client_id` is what Basic authentication calls the user.
    """

    client_id: UUID
    account_id: UUID
    name: str
    scopes: frozenset[Scope]
    secret_hash: bytes
    created_at: datetime
    pinned_version: str | None = None
    revoked_at: datetime | None = None
    requests_per_minute: int | None = None
