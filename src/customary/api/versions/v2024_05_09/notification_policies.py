"""Notification policies as 2024-05-09 sees them: with the types that it was published with."""

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict

from customary.api.endpoint import Call, Outcome, Routes
from customary.api.paging import PageParameters, PaginationBody
from customary.api.people import PageQuery
from customary.api.policies import (
    MOST_TYPES,
    PolicyFields,
    PolicyRequestFields,
    RecipientsRequest,
    page_of_policies,
    policy_fields,
    shown_types,
)
from customary.api.wire import Wire, one_of, or_none
from customary.domain.notification import NotificationType, Policy, PolicyWrite
from customary.domain.values import parse_id
from customary.operations import notification_policies as operations
from customary.storage import notification_policies
from customary.storage.database import Bound, Tx

ROUTES = Routes("Notification Policies")

# What came later: not shown here, and it survives writes through here.
LATER = frozenset(
    {
        NotificationType.QUOTE_SIGNED,
        NotificationType.INVOICE_REMINDER_SENT,
        NotificationType.WATCHTOWER_TASK_ASSIGNED,
    }
)
# What is archived today was called deleted.
OLD_NAMES = {
    NotificationType.CUSTOMER_ARCHIVED: "CUSTOMER_DELETED",
    NotificationType.BILLING_SCHEDULE_ARCHIVED: "BILLING_SCHEDULE_DELETED",
}
TYPES = {OLD_NAMES.get(each, each.value): each for each in NotificationType if each not in LATER}


TypeName: TypeAlias = Annotated[str, one_of(TYPES, "What somebody is told of.")]


class PolicyRequest(PolicyRequestFields):
    """A policy to create."""

    notification_types: (
        Annotated[
            list[TypeName],
            Meta(min_length=1, max_length=MOST_TYPES, description="What it is about. Left out: everything."),
        ]
        | UnsetType
    ) = UNSET


class TypesRequest(Wire):
    """Types to add to a policy."""

    notification_types: Annotated[
        list[TypeName],
        Meta(max_length=MOST_TYPES, description="What it is to be about too; known ones change nothing."),
    ]


class PolicyBody(PolicyFields):
    """A notification policy: who is told of what."""

    notification_types: (
        Annotated[
            list[TypeName],
            Meta(description="What it is about, as far as this version knows it. Absent: everything."),
        ]
        | UnsetType
    ) = UNSET


class PolicyList(Wire):
    """A page of notification policies."""

    items: list[PolicyBody]
    pagination: PaginationBody


def from_wire(body: PolicyRequest) -> PolicyWrite:
    """What this body asks for."""
    types = body.notification_types
    return PolicyWrite(
        name=body.name,
        channel=body.channel,
        recipients=tuple(body.recipients),
        notification_types=None if types is UNSET else tuple(TYPES[name] for name in types),
        webhook_secret=or_none(body.webhook_secret),
    )


def to_wire(policy: Policy, where: Bound | Tx, *, with_secret: bool = False) -> PolicyBody:
    """This policy as this version shows it."""
    return PolicyBody(
        **asdict(policy_fields(policy, where.account_id, with_secret=with_secret)),
        notification_types=shown_types(policy, TYPES),
    )


async def current(tx: Tx, call: Call) -> PolicyBody:
    """The policy as it is, locked: what If-Match is compared with."""
    return to_wire(await notification_policies.get_for_update(tx, parse_id(call.path["id"])), tx)


@ROUTES.get("/notifications/policies", query=PageQuery, answer=PolicyList, summary="List notification policies")
async def list_all(reading: Bound, call: Call, query: PageQuery) -> PolicyList:
    """Policies page by page, newest first, without their secrets."""
    asked = page_of_policies(reading, call, PageParameters(query.limit, query.after, query.before))
    page = await notification_policies.fetch(reading, asked.window, about=None)
    return PolicyList(items=[to_wire(policy, reading) for policy in page.items], pagination=asked.pagination(page))


@ROUTES.post("/notifications/policies", body=PolicyRequest, answer=PolicyBody, summary="Create a notification policy")
async def create(tx: Tx, call: Call, body: PolicyRequest) -> Outcome:
    """Create a policy. What is sent through it has the form of this version. Its secret is shown this once."""
    policy = await operations.create_policy(tx, from_wire(body), has_mail=call.has_mail)
    return Outcome(to_wire(policy, tx, with_secret=True), seen_as=to_wire(policy, tx))


@ROUTES.get("/notifications/policies/{id}", answer=PolicyBody, summary="Get a notification policy")
async def get(reading: Bound, call: Call) -> PolicyBody:
    """One policy, without its secret."""
    return to_wire(await notification_policies.get(reading, parse_id(call.path["id"])), reading)


@ROUTES.delete(
    "/notifications/policies/{id}", answer=PolicyBody, summary="Delete a notification policy", current=current
)
async def delete(tx: Tx, call: Call) -> PolicyBody:
    """Remove a policy: nobody is told anything through it any more."""
    return to_wire(await operations.delete_policy(tx, parse_id(call.path["id"])), tx)


@ROUTES.post(
    "/notifications/policies/{id}/notification-types",
    body=TypesRequest,
    answer=PolicyBody,
    status=200,
    summary="Add notification types to a policy",
    current=current,
)
async def add_types(tx: Tx, call: Call, body: TypesRequest) -> PolicyBody:
    """Let a policy be about more. One about everything stays as it is."""
    types = tuple(TYPES[name] for name in body.notification_types)
    return to_wire(await operations.add_types(tx, parse_id(call.path["id"]), types), tx)


@ROUTES.delete(
    "/notifications/policies/{id}/notification-types/{type}",
    answer=PolicyBody,
    summary="Remove a notification type from a policy",
    current=current,
)
async def remove_type(tx: Tx, call: Call) -> PolicyBody:
    """Let a policy be about one thing less, but not about nothing. One about everything is then about all others."""
    removed = TYPES.get(call.path["type"])
    return to_wire(await operations.remove_type(tx, parse_id(call.path["id"]), removed), tx)


@ROUTES.post(
    "/notifications/policies/{id}/recipients",
    body=RecipientsRequest,
    answer=PolicyBody,
    status=200,
    summary="Add recipients to a policy",
    current=current,
)
async def add_recipients(tx: Tx, call: Call, body: RecipientsRequest) -> PolicyBody:
    """Let a policy tell more recipients."""
    return to_wire(await operations.add_recipients(tx, parse_id(call.path["id"]), tuple(body.recipients)), tx)


@ROUTES.delete(
    "/notifications/policies/{id}/recipients/{recipient}",
    answer=PolicyBody,
    summary="Remove a recipient from a policy",
    current=current,
)
async def remove_recipient(tx: Tx, call: Call) -> PolicyBody:
    """Let a policy tell one recipient less; the last one stays."""
    return to_wire(await operations.remove_recipient(tx, parse_id(call.path["id"]), call.path["recipient"]), tx)
