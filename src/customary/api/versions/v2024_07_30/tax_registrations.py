"""Tax registrations as 2024-07-30 sees them: with a verdict on each number."""

from typing import Annotated, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict

from customary.api.endpoint import Call, Routes
from customary.api.paging import Cursor, Limit, PageParameters, PathOfPage, pager
from customary.api.wire import Country, FilledText, Id, Wire, one_of, or_none, or_unset
from customary.domain.page import Page
from customary.domain.tax import TaxRegistration, TaxRegistrationWrite, Verdict, verdict
from customary.domain.values import STATES, parse_id
from customary.errors import NotFound
from customary.operations.tax_registrations import (
    create_tax_registration,
    delete_tax_registration,
    update_tax_registration,
)
from customary.storage import customers, tax_registrations
from customary.storage.database import Bound, Tx

ROUTES = Routes("Tax Registrations")

State: TypeAlias = Annotated[
    str, one_of(STATES, "The state or province of the registration, where it is not a country's.")
]
Validation: TypeAlias = Annotated[
    Verdict,
    Meta(
        description="Whether the number is well formed for its country, by its form and check digits."
        " Nobody is asked, and nothing is refused for it."
    ),
]
TaxIdentifier: TypeAlias = Annotated[
    FilledText, Meta(description="The number of the registration. Kept as it is sent.", examples=["GB980780684"])
]
ShownTaxIdentifier: TypeAlias = Annotated[
    str, Meta(description="The number of the registration, as it was sent.", examples=["GB980780684"])
]
CustomerId: TypeAlias = Annotated[Id, Meta(description="The customer whose registration this is.")]
MerchantId: TypeAlias = Annotated[
    Id, Meta(description="The merchant whose registration this is: the id of the account, which is its only merchant.")
]


class TaxRegistrationRequest(Wire):
    """A tax registration to create or to replace.

    It belongs to a customer, to the merchant, or to both; a replacement that names neither leaves it with whom it is.
    """

    tax_identifier: TaxIdentifier
    customer_id: CustomerId | None | UnsetType = UNSET
    merchant_id: MerchantId | None | UnsetType = UNSET
    country: Country
    state: State | None | UnsetType = UNSET


class TaxRegistrationBody(Wire):
    """A tax registration."""

    id: Id
    sequence_account_id: Id
    tax_identifier: ShownTaxIdentifier
    customer_id: CustomerId | None | UnsetType = UNSET
    merchant_id: MerchantId | None | UnsetType = UNSET
    country: Country
    state: State | None | UnsetType = UNSET
    validation: Validation


class CustomerTaxRegistrationBody(Wire):
    """A tax registration in the list of a customer's."""

    id: Id
    sequence_account_id: Id
    tax_identifier: ShownTaxIdentifier
    customer_id: CustomerId
    country: Country
    state: State | None | UnsetType = UNSET
    validation: Validation


class MerchantTaxRegistrationBody(Wire):
    """A tax registration in the list of the merchant's."""

    id: Id
    sequence_account_id: Id
    tax_identifier: ShownTaxIdentifier
    merchant_id: MerchantId
    country: Country
    state: State | None | UnsetType = UNSET
    validation: Validation


class TaxPaginationBody(Wire):
    """Where the other pages are. These lists were published with null for what is not there; it is left out."""

    after: PathOfPage | None | UnsetType = UNSET
    before: PathOfPage | None | UnsetType = UNSET
    total_result_size: Annotated[
        int | None,
        Meta(description="How many rows match, on all pages.", extra_json_schema={"format": "int64"}),
    ]


class TaxRegistrationList(Wire):
    """A page of tax registrations."""

    items: list[TaxRegistrationBody]
    pagination: TaxPaginationBody


class CustomerTaxRegistrationList(Wire):
    """A page of a customer's tax registrations."""

    items: list[CustomerTaxRegistrationBody]
    pagination: TaxPaginationBody


class MerchantTaxRegistrationList(Wire):
    """A page of the merchant's tax registrations."""

    items: list[MerchantTaxRegistrationBody]
    pagination: TaxPaginationBody


class TaxRegistrationQuery(Wire):
    """Which page of tax registrations to list."""

    limit: Limit | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET


def from_wire(body: TaxRegistrationRequest) -> TaxRegistrationWrite:
    """What this body asks for."""
    return TaxRegistrationWrite(
        tax_identifier=body.tax_identifier,
        country=body.country,
        state=or_none(body.state),
        customer_id=or_none(body.customer_id),
        merchant_id=or_none(body.merchant_id),
    )


def to_wire(registration: TaxRegistration, account_id: UUID) -> TaxRegistrationBody:
    """This registration as this version shows it."""
    return TaxRegistrationBody(
        id=str(registration.id),
        sequence_account_id=str(account_id),
        tax_identifier=registration.tax_identifier,
        customer_id=UNSET if registration.customer_id is None else str(registration.customer_id),
        merchant_id=UNSET if registration.merchant_id is None else str(registration.merchant_id),
        country=registration.country,
        state=or_unset(registration.state),
        validation=verdict(registration),
    )


async def _page(
    reading: Bound,
    call: Call,
    query: TaxRegistrationQuery,
    *,
    customer_id: UUID | None = None,
    merchant_id: UUID | None = None,
) -> tuple[Page[TaxRegistration], TaxPaginationBody]:
    """One page of the registrations, newest first, and where the others are."""
    key = (reading.account_id, "tax-registrations", customer_id, merchant_id)
    asked = pager(call, key, PageParameters(query.limit, query.after, query.before))
    page = await tax_registrations.fetch(reading, asked.window, customer_id=customer_id, merchant_id=merchant_id)
    return page, TaxPaginationBody(**asdict(asked.pagination(page)))


async def current(tx: Tx, call: Call) -> TaxRegistrationBody:
    """The registration as it is, locked: what If-Match is compared with."""
    return to_wire(await tax_registrations.get_for_update(tx, parse_id(call.path["id"])), tx.account_id)


@ROUTES.get(
    "/tax-registrations", query=TaxRegistrationQuery, answer=TaxRegistrationList, summary="List tax registrations"
)
async def list_all(reading: Bound, call: Call, query: TaxRegistrationQuery) -> TaxRegistrationList:
    """All tax registrations page by page, newest first."""
    page, pagination = await _page(reading, call, query)
    return TaxRegistrationList(items=[to_wire(each, reading.account_id) for each in page.items], pagination=pagination)


@ROUTES.post(
    "/tax-registrations",
    body=TaxRegistrationRequest,
    answer=TaxRegistrationBody,
    summary="Create a tax registration",
)
async def create(tx: Tx, _call: Call, body: TaxRegistrationRequest) -> TaxRegistrationBody:
    """Create a tax registration of a customer, of the merchant, or of both."""
    return to_wire(await create_tax_registration(tx, from_wire(body)), tx.account_id)


@ROUTES.get(
    "/tax-registrations/for-merchant/{id}",
    query=TaxRegistrationQuery,
    answer=MerchantTaxRegistrationList,
    summary="List the merchant's tax registrations",
)
async def list_of_merchant(reading: Bound, call: Call, query: TaxRegistrationQuery) -> MerchantTaxRegistrationList:
    """The registrations of the account's own business, newest first; the account's id is the merchant's."""
    merchant_id = parse_id(call.path["id"])
    if merchant_id != reading.account_id:
        message = "There is no merchant with this id."
        raise NotFound(message)
    page, pagination = await _page(reading, call, query, merchant_id=merchant_id)
    items = [
        MerchantTaxRegistrationBody(
            id=str(each.id),
            sequence_account_id=str(reading.account_id),
            tax_identifier=each.tax_identifier,
            merchant_id=str(merchant_id),
            country=each.country,
            state=or_unset(each.state),
            validation=verdict(each),
        )
        for each in page.items
    ]
    return MerchantTaxRegistrationList(items=items, pagination=pagination)


@ROUTES.get(
    "/tax-registrations/for-customer/{id}",
    query=TaxRegistrationQuery,
    answer=CustomerTaxRegistrationList,
    summary="List a customer's tax registrations",
)
async def list_of_customer(reading: Bound, call: Call, query: TaxRegistrationQuery) -> CustomerTaxRegistrationList:
    """The registrations of one customer, archived or not, newest first."""
    customer = await customers.get(reading, parse_id(call.path["id"]))
    page, pagination = await _page(reading, call, query, customer_id=customer.id)
    items = [
        CustomerTaxRegistrationBody(
            id=str(each.id),
            sequence_account_id=str(reading.account_id),
            tax_identifier=each.tax_identifier,
            customer_id=str(customer.id),
            country=each.country,
            state=or_unset(each.state),
            validation=verdict(each),
        )
        for each in page.items
    ]
    return CustomerTaxRegistrationList(items=items, pagination=pagination)


@ROUTES.get("/tax-registrations/{id}", answer=TaxRegistrationBody, summary="Get a tax registration")
async def get(reading: Bound, call: Call) -> TaxRegistrationBody:
    """One tax registration."""
    return to_wire(await tax_registrations.get(reading, parse_id(call.path["id"])), reading.account_id)


@ROUTES.put(
    "/tax-registrations/{id}",
    body=TaxRegistrationRequest,
    answer=TaxRegistrationBody,
    summary="Replace a tax registration",
    current=current,
)
async def update(tx: Tx, call: Call, body: TaxRegistrationRequest) -> TaxRegistrationBody:
    """Replace a tax registration; a state that is left out is cleared."""
    registration = await update_tax_registration(tx, parse_id(call.path["id"]), from_wire(body))
    return to_wire(registration, tx.account_id)


@ROUTES.delete(
    "/tax-registrations/{id}", answer=TaxRegistrationBody, summary="Delete a tax registration", current=current
)
async def delete(tx: Tx, call: Call) -> TaxRegistrationBody:
    """Remove a tax registration; the answer is what it was."""
    return to_wire(await delete_tax_registration(tx, parse_id(call.path["id"])), tx.account_id)
