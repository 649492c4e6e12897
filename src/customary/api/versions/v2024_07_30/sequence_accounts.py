"""The account as 2024-07-30 sees it: every field of its company can be changed."""

from typing import Annotated, TypeVar

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Routes
from customary.api.paging import PaginationBody, PathOfPage
from customary.api.people import (
    AlertEmails,
    PageQuery,
    SequenceAccountBody,
    account_to_wire,
    page_of,
)
from customary.api.wire import Country, FilledText, Text, Wire
from customary.domain.account import CompanyWrite
from customary.domain.values import parse_id
from customary.operations.sequence_accounts import update_company
from customary.storage import sequence_accounts
from customary.storage.database import Bound, Tx

ROUTES = Routes("Accounts")

Value = TypeVar("Value")


class NullablePaginationBody(Wire):
    """Where the other pages are. These lists were published with null for what is not there; it is left out."""

    after: PathOfPage | None | UnsetType = UNSET
    before: PathOfPage | None | UnsetType = UNSET
    total_result_size: Annotated[
        int | None, Meta(description="How many rows match, on all pages.", extra_json_schema={"format": "int64"})
    ]


class SequenceAccountList(Wire):
    """The accounts that the key can reach: its own."""

    items: list[SequenceAccountBody]
    pagination: NullablePaginationBody


class SequenceAccountRequest(Wire):
    """What to change of an account. What is left out or null stays as it is: nothing here can be without a value."""

    company_name: (
        Annotated[FilledText, Meta(description="The name of the company.", examples=["Fernhill Ltd"])]
        | None
        | UnsetType
    ) = UNSET
    company_number: (
        Annotated[Text, Meta(description="Its number in the register.", examples=["09284417"])] | None | UnsetType
    ) = UNSET
    country: Country | None | UnsetType = UNSET
    send_customer_notifications: bool | None | UnsetType = UNSET
    alert_email_addresses: AlertEmails | None | UnsetType = UNSET


def nullable(pagination: PaginationBody) -> NullablePaginationBody:
    """The same places, in the shape of these lists."""
    return NullablePaginationBody(
        after=pagination.after, before=pagination.before, total_result_size=pagination.total_result_size
    )


def from_wire(body: SequenceAccountRequest) -> CompanyWrite:
    """What this body asks for."""
    emails = body.alert_email_addresses
    return CompanyWrite(
        company_name=given(body.company_name),
        company_number=given(body.company_number),
        country=given(body.country),
        send_customer_notifications=given(body.send_customer_notifications),
        alert_email_addresses=UNSET if emails is UNSET or emails is None else tuple(emails),
    )


def given(value: Value | UnsetType | None) -> Value | UnsetType:
    """A field that means the same when it is null as when it is left out."""
    return UNSET if value is None else value


async def current(tx: Tx, call: Call) -> SequenceAccountBody:
    """The account as it is, locked: what If-Match is compared with."""
    return account_to_wire(await sequence_accounts.get_for_update(tx, parse_id(call.path["id"])))


@ROUTES.get("/sequence-accounts", query=PageQuery, answer=SequenceAccountList, summary="List accounts")
async def list_all(reading: Bound, call: Call, query: PageQuery) -> SequenceAccountList:
    """The accounts that this key can reach, which is the one that it belongs to."""
    asked = page_of(reading, call, "sequence-accounts", query)
    page = await sequence_accounts.fetch(reading, asked.window)
    return SequenceAccountList(
        items=[account_to_wire(company) for company in page.items], pagination=nullable(asked.pagination(page))
    )


@ROUTES.get("/sequence-accounts/{id}", answer=SequenceAccountBody, summary="Get an account")
async def get(reading: Bound, call: Call) -> SequenceAccountBody:
    """The account that this key belongs to; any other is answered like one that does not exist."""
    return account_to_wire(await sequence_accounts.get(reading, parse_id(call.path["id"])))


@ROUTES.put(
    "/sequence-accounts/{id}",
    body=SequenceAccountRequest,
    answer=SequenceAccountBody,
    summary="Update an account",
    current=current,
)
async def update(tx: Tx, call: Call, body: SequenceAccountRequest) -> SequenceAccountBody:
    """Change what the account tells of its company."""
    write = from_wire(body)
    return account_to_wire(await update_company(tx, parse_id(call.path["id"]), write))
