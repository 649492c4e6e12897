"""Accounts and users on the wire, as far as all versions share them."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call
from customary.api.paging import Cursor, Limit, PageParameters, Pager, PaginationBody, pager
from customary.api.wire import Country, Email, Id, Time, Wire, time_form
from customary.domain.account import Company
from customary.domain.page import Page
from customary.domain.user import User
from customary.storage.database import Reading

AlertEmails = Annotated[
    list[Email],
    Meta(max_length=100, description="Where alerts are sent. One given twice, in either case, counts once."),
]
AccountIds = Annotated[
    list[Id], Meta(max_length=100, description="The accounts that the user may enter: the one that the key belongs to.")
]


class PageQuery(Wire):
    """Which page of a list is wanted."""

    limit: Limit | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET


class SequenceAccountBody(Wire):
    """An account, with what it tells of its company."""

    id: Id
    created_at: Time
    sequence_organisation_id: Id
    company_name: Annotated[str, Meta(description="The account's own name at first.", examples=["Fernhill Ltd"])]
    company_number: Annotated[str, Meta(description="Empty until somebody enters one.", examples=["09284417"])]
    country: Country
    send_customer_notifications: bool
    alert_email_addresses: list[Annotated[str, Meta(examples=["alerts@example.com"])]]


class SequenceAccountsBody(Wire):
    """The accounts that the key can reach: its own."""

    items: list[SequenceAccountBody]
    pagination: PaginationBody


class UserFields(Wire):
    """What every version shows of a user."""

    id: Id
    email: str
    sequence_account_ids: list[Id]
    state: Annotated[str, Meta(description="active, or deleted in the answer to deleting.", examples=["active"])]


def page_of(reading: Reading, call: Call, name: str, query: PageQuery) -> Pager:
    """The page of this list that a query asks for. Raises `Invalid`."""
    return pager(call, (reading.account_id, name), PageParameters(query.limit, query.after, query.before))


def account_to_wire(company: Company) -> SequenceAccountBody:
    """This account as every version shows it."""
    return SequenceAccountBody(
        id=str(company.id),
        created_at=time_form(company.created_at),
        sequence_organisation_id=str(company.sequence_organisation_id),
        company_name=company.company_name,
        company_number=company.company_number,
        country=company.country,
        send_customer_notifications=company.send_customer_notifications,
        alert_email_addresses=list(company.alert_email_addresses),
    )


def accounts_to_wire(page: Page[Company], asked: Pager) -> SequenceAccountsBody:
    """This page of accounts."""
    return SequenceAccountsBody(
        items=[account_to_wire(company) for company in page.items], pagination=asked.pagination(page)
    )


def user_fields(user: User, account_id: object) -> UserFields:
    """What every version shows of this user of this account."""
    return UserFields(id=str(user.id), email=user.email, sequence_account_ids=[str(account_id)], state=user.state.value)
