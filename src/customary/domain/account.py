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
