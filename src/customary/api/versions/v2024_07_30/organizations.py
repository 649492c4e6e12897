"""Organisations as 2024-07-30 sees them: an owner and its members."""

from collections.abc import Iterable
from typing import Annotated, TypeAlias

from msgspec import Meta

from customary.api.endpoint import Call, Routes
from customary.api.wire import Id, Wire
from customary.domain.customer import Organization
from customary.domain.organization import MAXIMUM_IDS, Candidate
from customary.domain.values import parse_id
from customary.operations.organizations import add_members, create_organization, replace_members
from customary.storage import organizations
from customary.storage.database import Tx

ROUTES = Routes("Organizations")

CustomerIds: TypeAlias = Annotated[
    list[Id], Meta(max_length=MAXIMUM_IDS, description="Customers without the owner; the same one twice counts once.")
]


class OrganizationRequest(Wire):
    """An organisation to create."""

    owner_id: Annotated[Id, Meta(description="The customer that will own it, which owns none yet.")]
    member_ids: CustomerIds


class MembersRequest(Wire):
    """Customers that belong to an organisation."""

    customer_ids: CustomerIds


class NamedCustomerBody(Wire):
    """A customer in an organisation."""

    id: Id
    name: str


class OrganizationBody(Wire):
    """An owner and its members."""

    id: Id
    owner: NamedCustomerBody
    members: list[NamedCustomerBody]


def organization_to_wire(organization: Organization) -> OrganizationBody:
    """This organisation as this version shows it."""
    return OrganizationBody(
        id=str(organization.id),
        owner=NamedCustomerBody(id=str(organization.owner.id), name=organization.owner.name),
        members=[NamedCustomerBody(id=str(member.id), name=member.name) for member in organization.members],
    )


def candidates(key: str, ids: Iterable[str]) -> list[Candidate]:
    """The customers that a list under this key names."""
    return [Candidate(f"{key}[{position}]", text) for position, text in enumerate(ids)]


async def current(tx: Tx, call: Call) -> OrganizationBody:
    """The organisation as it is, locked: what If-Match is compared with."""
    return organization_to_wire(await organizations.get_for_update(tx, parse_id(call.path["id"])))


@ROUTES.post(
    "/customer-organizations", body=OrganizationRequest, answer=OrganizationBody, summary="Create an organisation"
)
async def create(tx: Tx, _call: Call, body: OrganizationRequest) -> OrganizationBody:
    """Put customers together under one that owns the organisation; a customer owns at most one."""
    owner = Candidate("ownerId", body.owner_id)
    return organization_to_wire(await create_organization(tx, owner, candidates("memberIds", body.member_ids)))


@ROUTES.post(
    "/customer-organizations/{id}/members",
    body=MembersRequest,
    answer=OrganizationBody,
    status=200,
    summary="Add members to an organisation",
    current=current,
)
async def add(tx: Tx, call: Call, body: MembersRequest) -> OrganizationBody:
    """Add customers to the members. Those that are members already stay; nobody leaves another organisation."""
    members = candidates("customerIds", body.customer_ids)
    return organization_to_wire(await add_members(tx, parse_id(call.path["id"]), members))


@ROUTES.put(
    "/customer-organizations/{id}/members",
    body=MembersRequest,
    answer=OrganizationBody,
    summary="Replace the members of an organisation",
    current=current,
)
async def replace(tx: Tx, call: Call, body: MembersRequest) -> OrganizationBody:
    """Make these customers the only members. Other organisations keep theirs."""
    members = candidates("customerIds", body.customer_ids)
    return organization_to_wire(await replace_members(tx, parse_id(call.path["id"]), members))
