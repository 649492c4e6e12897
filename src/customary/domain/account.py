"""The tenant, and the keys that open it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from customary.domain.contacts import email_key


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
    """A key, without its secrets.

    `pinned_version` answers requests that name no version; `client_id` is what Basic authentication calls the user.
    `last_used_at` is true to about a minute. Without `allowed_addresses`, networks such as 10.0.0.0/8, it may be used
    from anywhere.
    """

    client_id: UUID
    account_id: UUID
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    pinned_version: str | None = None
    revoked_at: datetime | None = None
    requests_per_minute: int | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    allowed_addresses: tuple[str, ...] = ()


class ApiSecret(Struct, frozen=True, kw_only=True):
    """A secret of a key as it is kept: only as a hash, made with the secret key `key_id`.

    Without a `key_id` it is one of before, hashed without any. The newest of a key has no end of its own.
    """

    id: UUID
    key_id: str | None
    hash: bytes
    created_at: datetime
    expires_at: datetime | None = None


class KeyState(StrEnum):
    """Whether a key opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def state_of(key: ApiKey, *, now: datetime) -> KeyState:
    """Whether this key opens anything at this time."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return KeyState.EXPIRED
    return KeyState.ACTIVE


class Company(Struct, frozen=True, kw_only=True):
    """What an account tells of the company behind it, in the words of the published documents.

    `company_number` is empty until somebody enters one. `sequence_organisation_id` never changes.
    """

    id: UUID
    created_at: datetime
    sequence_organisation_id: UUID
    company_name: str
    company_number: str
    country: str
    send_customer_notifications: bool
    alert_email_addresses: tuple[str, ...]


class CompanyWrite(Struct, frozen=True, kw_only=True):
    """What an update asks for. UNSET means: leave it as it is; nothing here can be without a value."""

    company_name: str | UnsetType = UNSET
    company_number: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    send_customer_notifications: bool | UnsetType = UNSET
    alert_email_addresses: tuple[str, ...] | UnsetType = UNSET


def update_company(company: Company, write: CompanyWrite) -> Company:
    """This company after an update; equal to what it was when nothing changes."""
    given = {name: value for name in write.__struct_fields__ if (value := getattr(write, name)) is not UNSET}
    if write.alert_email_addresses is not UNSET:
        given["alert_email_addresses"] = distinct_emails(write.alert_email_addresses)
    return replace(company, **given)


def distinct_emails(emails: tuple[str, ...]) -> tuple[str, ...]:
    """These addresses without those that are the same as an earlier one, ignoring case."""
    first: dict[str, str] = {}
    for email in emails:
        first.setdefault(email_key(email), email)
    return tuple(first.values())
