"""The account as 2024-01-01 sees it: only its alert addresses can be changed."""

from customary.api.endpoint import Call, Routes
from customary.api.people import (
    AlertEmails,
    PageQuery,
    SequenceAccountBody,
    SequenceAccountsBody,
    account_to_wire,
    accounts_to_wire,
    page_of,
)
from customary.api.wire import Wire
from customary.domain.account import CompanyWrite
from customary.domain.values import parse_id
from customary.operations.sequence_accounts import update_company
from customary.storage import sequence_accounts
from customary.storage.database import Bound, Tx

ROUTES = Routes("Accounts")


class SequenceAccountRequest(Wire):
    """What to change of an account."""

    alert_email_addresses: AlertEmails


async def current(tx: Tx, call: Call) -> SequenceAccountBody:
    """The account as it is, locked: what If-Match is compared with."""
    return account_to_wire(await sequence_accounts.get_for_update(tx, parse_id(call.path["id"])))


@ROUTES.get("/sequence-accounts", query=PageQuery, answer=SequenceAccountsBody, summary="List accounts")
async def list_all(reading: Bound, call: Call, query: PageQuery) -> SequenceAccountsBody:
    """The accounts that this key can reach, which is the one that it belongs to."""
    asked = page_of(reading, call, "sequence-accounts", query)
    return accounts_to_wire(await sequence_accounts.fetch(reading, asked.window), asked)


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
    """Replace the addresses that alerts are sent to."""
    write = CompanyWrite(alert_email_addresses=tuple(body.alert_email_addresses))
    return account_to_wire(await update_company(tx, parse_id(call.path["id"]), write))
