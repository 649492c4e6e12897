"""What is ours alone: more ways to change customers, and to see and remove organisations."""

from typing import Annotated, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Outcome, Routes
from customary.api.paging import Cursor, Limit, PageParameters, PaginationBody, pager
from customary.api.reading import read_body
from customary.api.versions.v2024_07_30 import customers as whole
from customary.api.versions.v2024_07_30.customers import CustomerBody, CustomerRequest, address_to_wire, to_wire
from customary.api.versions.v2024_07_30.organizations import OrganizationBody, organization_to_wire
from customary.api.versions.v2024_07_30.organizations import current as current_organization
from customary.api.wire import Country, FilledText, Text, Url, Wire, or_unset
from customary.domain import merge_patch
from customary.domain.customer import Customer, CustomerWrite, Status, TaxStatus
from customary.domain.merge_patch import Json
from customary.domain.values import parse_id
from customary.errors import Invalid, NotFound, PreconditionFailed, Problem
from customary.operations.customers import amend_customer, put_customer_by_alias, unarchive_customer
from customary.operations.organizations import delete_organization
from customary.storage import customers, organizations
from customary.storage.database import Bound, Tx

ROUTES = Routes("Customers", is_extension=True)

_LONGEST_ALIAS = 255
# What a patch may set and not remove, besides what every customer needs: null there would say nothing.
_NEVER_NULL = frozenset({"contacts", "status", "parentId", "pushToIntegrations"})
# What a patch empties by removing it.
_EMPTIED: dict[str, Json] = {"customerAliases": [], "integrationIds": [], "customProperties": {}}


class AddressPatch(Wire):
    """Parts of an address to set; null removes one."""

    line1: FilledText | UnsetType = UNSET
    line2: Text | None | UnsetType = UNSET
    town: FilledText | UnsetType = UNSET
    state: whole.State | None | UnsetType = UNSET
    postcode: FilledText | UnsetType = UNSET
    country: Country | UnsetType = UNSET


class CustomerPatch(Wire):
    """Fields of a customer to set (RFC 7396). What is left out stays, null removes, a list replaces the list."""

    legal_name: whole.LegalName | UnsetType = UNSET
    address: AddressPatch | UnsetType = UNSET
    url: Url | None | UnsetType = UNSET
    label: whole.Label | None | UnsetType = UNSET
    tax_status: TaxStatus | UnsetType = UNSET
    customer_aliases: whole.Aliases | None | UnsetType = UNSET
    integration_ids: whole.Links | None | UnsetType = UNSET
    parent_id: whole.ParentId | UnsetType = UNSET
    contacts: whole.Contacts | UnsetType = UNSET
    push_to_integrations: whole.PushTo | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    custom_properties: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=500)] | None],
            Meta(description="Texts under keys of your own. Keys that are left out stay; null removes one."),
        ]
        | None
        | UnsetType
    ) = UNSET


class StoredCustomer(Wire):
    """What of a customer a patch is merged with: everything but the lists, which it replaces."""

    legal_name: str
    address: whole.AddressBody
    url: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    tax_status: TaxStatus
    status: Status
    custom_properties: dict[str, str]


class OrganizationQuery(Wire):
    """Which page of the organisations."""

    limit: Limit | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET
    sort_order: (
        Annotated[
            str, Meta(description="ASC or DESC, which is the default.", extra_json_schema={"enum": ["ASC", "DESC"]})
        ]
        | UnsetType
    ) = UNSET


class OrganizationList(Wire):
    """A page of organisations."""

    items: list[OrganizationBody]
    pagination: PaginationBody


def patched(customer: Customer, patch: dict[str, Json]) -> CustomerWrite:
    """What this patch asks for. Raises `Invalid` for everything that is wrong with the customer that it makes."""
    stored = StoredCustomer(
        legal_name=customer.legal_name,
        address=address_to_wire(customer.address),
        url=or_unset(customer.url),
        label=or_unset(customer.label),
        tax_status=customer.tax_status,
        status=customer.status,
        custom_properties=customer.custom_properties,
    )
    merged = cast("dict[str, Json]", merge_patch.apply(cast("Json", msgspec.to_builtins(stored)), patch))
    removed = {name for name, value in patch.items() if value is None}
    merged |= {name: empty for name, empty in _EMPTIED.items() if name in removed}
    merged |= dict.fromkeys(_NEVER_NULL & removed)  # the reader says for each that null is none of its values
    return whole.from_wire(read_body(whole.PatchedCustomer, merged))


async def current_by_alias(tx: Tx, call: Call) -> CustomerBody:
    """The customer with this alias, locked. Raises `PreconditionFailed` where there is none to match anything."""
    try:
        found = await customers.get_by_alias(tx, call.path["alias"])
    except NotFound:
        message = "There is no customer with this alias, so nothing that If-Match could match."
        raise PreconditionFailed(message) from None
    return to_wire(await customers.get_for_update(tx, found.id))


@ROUTES.patch(
    "/customers/{id}", body=CustomerPatch, answer=CustomerBody, summary="Change a customer", current=whole.current
)
async def patch(tx: Tx, call: Call, body: object) -> CustomerBody:
    """Change single fields of a customer by a JSON merge patch (RFC 7396).

    The customer that comes of it is checked as a whole. Lists are replaced; objects are merged key by key. A null
    removes a value: of `url`, `label`, `address.line2`, `address.state`, a custom property, or all of
    `customerAliases`, `integrationIds` or `customProperties`.
    """
    if not isinstance(body, dict):
        message = "A merge patch for a customer must be a JSON object: any other value would replace all of it."
        raise Invalid(message, (Problem("", "mergePatch", message),))
    fields = cast("dict[str, Json]", body)
    customer_id = parse_id(call.path["id"])
    joins = "parentId" in fields
    return to_wire(await amend_customer(tx, customer_id, lambda before: patched(before, fields), joins=joins))


@ROUTES.post(
    "/customers/{id}/unarchive",
    answer=CustomerBody,
    status=200,
    summary="Unarchive a customer",
    current=whole.current,
)
async def unarchive(tx: Tx, call: Call) -> CustomerBody:
    """Put an archived customer to use again. Doing it again changes nothing."""
    return to_wire(await unarchive_customer(tx, parse_id(call.path["id"])))


@ROUTES.put(
    "/customers/by-alias/{alias}",
    body=CustomerRequest,
    answer=CustomerBody,
    other_status=201,
    summary="Create or replace a customer by alias",
    current=current_by_alias,
)
async def put_by_alias(tx: Tx, call: Call, body: CustomerRequest) -> Outcome:
    """Replace the customer that has this alias or id; where there is none, create it with the alias.

    The alias stays the customer's, whether `customerAliases` names it or not. If-Match takes the tag of the customer
    itself: that of this answer or of `GET /customers/{id}`, not that of the flat shape.
    """
    alias = call.path["alias"]
    if len(alias) > _LONGEST_ALIAS:
        message = f"The alias has {len(alias)} characters; at most {_LONGEST_ALIAS} are allowed."
        raise Invalid(message, (Problem("alias", "tooLong", message),))
    customer, is_new = await put_customer_by_alias(tx, alias, whole.from_wire(body))
    return Outcome(to_wire(customer), status=201 if is_new else 200)


@ROUTES.get("/customer-organizations", query=OrganizationQuery, answer=OrganizationList, summary="List organisations")
async def list_organizations(reading: Bound, call: Call, query: OrganizationQuery) -> OrganizationList:
    """Organisations page by page, newest first unless the other order is asked for."""
    parameters = PageParameters(query.limit, query.after, query.before, sort_order=query.sort_order)
    asked = pager(call, (reading.account_id, "organizations"), parameters)
    page = await organizations.fetch(reading, asked.window)
    return OrganizationList(
        items=[organization_to_wire(each) for each in page.items], pagination=asked.pagination(page)
    )


@ROUTES.get("/customer-organizations/{id}", answer=OrganizationBody, summary="Get an organisation")
async def get_organization(reading: Bound, call: Call) -> OrganizationBody:
    """One organisation with all its members."""
    return organization_to_wire(await organizations.get(reading, parse_id(call.path["id"])))


@ROUTES.delete(
    "/customer-organizations/{id}",
    answer=OrganizationBody,
    summary="Delete an organisation",
    current=current_organization,
)
async def remove_organization(tx: Tx, call: Call) -> OrganizationBody:
    """Remove an organisation and answer it as it was. Its owner and its members stay customers."""
    return organization_to_wire(await delete_organization(tx, parse_id(call.path["id"])))
