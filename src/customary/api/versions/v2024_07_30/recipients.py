"""What is ours alone: how the recipients of a notification policy do, and how they are told."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Routes
from customary.api.policies import Recipient, ShownRecipient
from customary.api.versions.v2024_07_30 import notification_policies as policies
from customary.api.versions.v2024_07_30.deliveries import RecipientState
from customary.api.wire import Time, Wire, or_unset, time_form
from customary.domain.notification import Policy
from customary.domain.values import parse_id
from customary.operations.notification_policies import set_order
from customary.operations.replays import resume_recipient
from customary.storage import delivery_log, notification_policies
from customary.storage.database import Bound, Reading, Tx
from customary.storage.delivery_log import MOST_COUNTED

ROUTES = Routes("Notification Policies", is_extension=True)


class RecipientBody(Wire):
    """A recipient of a policy, and how it did lately."""

    recipient: ShownRecipient
    state: RecipientState
    consecutive_failures: Annotated[int, Meta(ge=0, description="How many attempts in a row failed.")]
    failing_since: Time | UnsetType = UNSET
    next_probe_at: Annotated[Time, Meta(description="When a paused one is tried again.")] | UnsetType = UNSET
    reason: Annotated[str, Meta(description="What was wrong with the last attempt.")] | UnsetType = UNSET
    pending_deliveries: Annotated[
        int,
        Meta(
            ge=0, le=MOST_COUNTED, description=f"How many wait to be sent to it; {MOST_COUNTED} is that many or more."
        ),
    ]


class RecipientList(Wire):
    """All recipients of a policy, in the order in which they were added."""

    items: list[RecipientBody]


class ResumeRequest(Wire):
    """Which recipient to resume."""

    recipient: Recipient


class DeliverySettings(Wire):
    """How the recipients of a policy are told."""

    is_ordered: Annotated[
        bool,
        Meta(
            description="Whether a recipient is told of a customer's change only when the one before was delivered or"
            " given up. Without it, as soon as possible and in any order."
        ),
    ]


def settings_to_wire(policy: Policy) -> DeliverySettings:
    """How this policy tells, as this version shows it."""
    return DeliverySettings(is_ordered=policy.is_ordered)


async def current_settings(tx: Tx, call: Call) -> DeliverySettings:
    """The settings as they are, locked: what If-Match is compared with."""
    return settings_to_wire(await notification_policies.get_for_update(tx, parse_id(call.path["id"])))


async def _recipients(reading: Reading, call: Call) -> RecipientList:
    policy = await notification_policies.get(reading, parse_id(call.path["id"]))
    found = await delivery_log.recipients(reading, policy.id)
    return RecipientList(
        items=[
            RecipientBody(
                recipient=each.recipient,
                state=each.state,
                consecutive_failures=each.failures,
                failing_since=or_unset(each.failing_since and time_form(each.failing_since)),
                next_probe_at=or_unset(each.next_probe_at and time_form(each.next_probe_at)),
                reason=or_unset(each.reason),
                pending_deliveries=each.pending,
            )
            for each in found
        ]
    )


@ROUTES.get("/notifications/policies/{id}/recipients", answer=RecipientList, summary="List the recipients of a policy")
async def list_all(reading: Bound, call: Call) -> RecipientList:
    """How each recipient does: whether it takes what it is sent, and what waits for it."""
    return await _recipients(reading, call)


@ROUTES.post(
    "/notifications/policies/{id}/recipients/resume",
    body=ResumeRequest,
    answer=RecipientList,
    status=200,
    summary="Resume a recipient of a policy",
    current=policies.current,
)
async def resume(tx: Tx, call: Call, body: ResumeRequest) -> RecipientList:
    """Speak to a paused or disabled recipient again at once, and send it all that waits."""
    await resume_recipient(tx, parse_id(call.path["id"]), body.recipient)
    return await _recipients(tx, call)


@ROUTES.get(
    "/notifications/policies/{id}/delivery-settings", answer=DeliverySettings, summary="Get how a policy delivers"
)
async def get_settings(reading: Bound, call: Call) -> DeliverySettings:
    """Whether each customer's changes are told of in their order."""
    return settings_to_wire(await notification_policies.get(reading, parse_id(call.path["id"])))


@ROUTES.put(
    "/notifications/policies/{id}/delivery-settings",
    body=DeliverySettings,
    answer=DeliverySettings,
    summary="Set how a policy delivers",
    current=current_settings,
)
async def put_settings(tx: Tx, call: Call, body: DeliverySettings) -> DeliverySettings:
    """Tell of each customer's changes in their order, or as soon as possible; for what waits already as well."""
    return settings_to_wire(await set_order(tx, parse_id(call.path["id"]), is_ordered=body.is_ordered))
