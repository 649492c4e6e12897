"""What is ours alone: the deliveries of a notification policy, what came of them, and sending them once more."""

from typing import Annotated, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Outcome, Routes
from customary.api.paging import DEFAULT_LIMIT, Cursor, Limit, PageParameters, PaginationBody, pager
from customary.api.policies import Recipient, ShownRecipient
from customary.api.versions.v2024_07_30 import notification_policies as policies
from customary.api.versions.v2024_07_30.activity_logs import IdFilter
from customary.api.wire import GivenTime, Id, Time, Wire, one_of, or_none, or_unset, time_form, time_of
from customary.domain import delivery as rules
from customary.domain.activity import RESOURCE_TYPE, EventType
from customary.domain.delivery import EndpointState, State
from customary.domain.values import parse_id
from customary.operations.replays import MOST_REPLAYED, Range, replay, retry_delivery, send_test
from customary.storage import delivery_log, notification_policies
from customary.storage.database import Bound, Reading, Tx
from customary.storage.delivery_log import Attempt, Delivery, Wanted

ROUTES = Routes("Notification Policies", is_extension=True)

_DELIVERIES = "/notifications/policies/{id}/deliveries"

RecipientState: TypeAlias = Annotated[
    EndpointState,
    Meta(
        description="ACTIVE; PAUSED, which only failed and is tried now and then; DISABLED, which answered 410 Gone and"
        " is not tried until it is resumed; or REMOVED from the policy."
    ),
]


class DeliveryBody(Wire):
    """Something that a recipient is told, and how that went."""

    id: Id
    webhook_id: Annotated[
        str,
        Meta(
            description="What the webhook has in its header `webhook-id`, each time that it is sent.",
            examples=["msg_01a1facc-35ad-7467-ab73-16626f891b76"],
        ),
    ]
    notification_type: Annotated[str, one_of(EventType, "What it tells of.")]
    resource_type: Annotated[str, Meta(examples=[RESOURCE_TYPE])]
    resource_id: Annotated[Id, Meta(description="The customer; absent for a test.")] | UnsetType = UNSET
    resource_version: (
        Annotated[int, Meta(ge=1, description="The customer's version; absent for a test.")] | UnsetType
    ) = UNSET
    event_id: Annotated[Id, Meta(description="As the change feed has it; absent for a test.")] | UnsetType = UNSET
    is_test: Annotated[bool, Meta(description="Whether it is about an example that somebody asked for.")]
    recipient: ShownRecipient
    recipient_state: RecipientState
    state: Annotated[
        State,
        Meta(
            description="PENDING; DELIVERED; FAILED, which was given up; CANCELLED, as its recipient was removed; or"
            " QUARANTINED, as whoever worked on it died with it again and again."
        ),
    ]
    reason: Annotated[str, Meta(description="Why it was given up or cancelled.")] | UnsetType = UNSET
    held_because: (
        Annotated[str, Meta(description="Why it is not attempted for now, whatever `nextAttemptAt` would say.")]
        | UnsetType
    ) = UNSET
    is_in_flight: Annotated[bool, Meta(description="Whether it is being attempted at this moment.")]
    attempts: Annotated[int, Meta(ge=0, description="How many there were, the one that is being made included.")]
    attempts_left: Annotated[int, Meta(ge=0, description="How many more it gets before it is given up.")]
    created_at: Time
    next_attempt_at: (
        Annotated[Time, Meta(description="The earliest time, while it is pending and its recipient is not disabled.")]
        | UnsetType
    ) = UNSET
    finished_at: Annotated[Time, Meta(description="Absent while it is pending.")] | UnsetType = UNSET
    last_outcome: Annotated[rules.Outcome, Meta(description="How the last attempt ended.")] | UnsetType = UNSET
    last_response_status: (
        Annotated[int, Meta(description="What the last attempt was answered with; absent without an answer.")]
        | UnsetType
    ) = UNSET
    last_error: Annotated[str, Meta(description="What was wrong with the last attempt.")] | UnsetType = UNSET


class DeliveryList(Wire):
    """A page of deliveries."""

    items: list[DeliveryBody]
    pagination: PaginationBody


class TestDeliveries(Wire):
    """The deliveries that were made, one for each recipient."""

    items: list[DeliveryBody]


class DeliveryQuery(Wire):
    """Which deliveries to list."""

    state: Annotated[str, one_of(State, "Only deliveries in this state.")] | UnsetType = UNSET
    recipient: Annotated[Recipient, Meta(description="Only those to this recipient.")] | UnsetType = UNSET
    resource_id: Annotated[IdFilter, Meta(description="Only those about this customer.")] | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET


class AttemptBody(Wire):
    """One attempt to deliver, and what came of it."""

    number: Annotated[int, Meta(ge=1, description="It grows; one that was broken off by our own end is left out.")]
    started_at: Time
    duration_milliseconds: Annotated[int, Meta(ge=0)]
    outcome: Annotated[
        rules.Outcome,
        Meta(
            description="DELIVERED; REJECTED by an answer that is no success; GONE, which is 410; TIMED_OUT;"
            " UNREACHABLE; or FORBIDDEN, as the address is none that may be sent to."
        ),
    ]
    response_status: Annotated[int, Meta(description="Absent without an answer.")] | UnsetType = UNSET
    response_body: (
        Annotated[str, Meta(description="The first 1,024 bytes of the answer; what is no UTF-8 in it is replaced.")]
        | UnsetType
    ) = UNSET
    error: Annotated[str, Meta(description="What was wrong.")] | UnsetType = UNSET


class AttemptList(Wire):
    """Attempts of a delivery, the last one first."""

    items: list[AttemptBody]
    has_more: Annotated[bool, Meta(description="Whether there are earlier ones: ask with the last `number` here.")]


class AttemptQuery(Wire):
    """Which attempts to list."""

    limit: Limit | UnsetType = UNSET
    before_number: Annotated[int, Meta(ge=1, le=2**31 - 1, description="Only those before this one.")] | UnsetType = (
        UNSET
    )


class TestRequest(Wire):
    """What to send an example of."""

    notification_type: Annotated[str, one_of(EventType, "What the example tells of.")]


class ReplayRequest(Wire):
    """What to send once more. One of `from` and `failedOnly` is needed."""

    from_: Annotated[GivenTime, Meta(description="What happened at this time of RFC 3339 or later.")] | UnsetType = (
        UNSET
    )
    to: (
        Annotated[GivenTime, Meta(description="What happened before this time.", examples=["2026-01-03T00:00:00Z"])]
        | UnsetType
    ) = UNSET
    failed_only: (
        Annotated[bool, Meta(description="Only what was given up: deliveries that are FAILED or QUARANTINED.")]
        | UnsetType
    ) = UNSET
    recipient: Annotated[Recipient, Meta(description="Only what is for this recipient.")] | UnsetType = UNSET


class ReplayBody(Wire):
    """What a replay came to."""

    queued: Annotated[int, Meta(ge=0, le=MOST_REPLAYED, description="How many deliveries were put into the queue.")]


def to_wire(delivery: Delivery) -> DeliveryBody:
    """This delivery as this version shows it."""
    is_pending = delivery.state is State.PENDING
    due_at = delivery.due_at if is_pending and not delivery.is_in_flight else None
    finished_at, outcome = delivery.finished_at, delivery.last_outcome
    return DeliveryBody(
        id=str(delivery.id),
        webhook_id=rules.webhook_id(delivery.id),
        notification_type=delivery.event_type,
        resource_type=RESOURCE_TYPE,
        resource_id=or_unset(delivery.customer_id and str(delivery.customer_id)),
        resource_version=or_unset(delivery.version),
        event_id=or_unset(delivery.event_id and str(delivery.event_id)),
        is_test=delivery.event_id is None,
        recipient=delivery.recipient,
        recipient_state=delivery.recipient_state,
        state=delivery.state,
        reason=or_unset(delivery.reason),
        held_because=or_unset(rules.held_because(delivery.recipient_state) if is_pending else None),
        is_in_flight=delivery.is_in_flight,
        attempts=delivery.attempts,
        attempts_left=delivery.attempts_left,
        created_at=time_form(delivery.created_at),
        next_attempt_at=or_unset(due_at and time_form(due_at)),
        finished_at=or_unset(finished_at and time_form(finished_at)),
        last_outcome=or_unset(outcome),
        last_response_status=or_unset(delivery.last_status),
        last_error=or_unset(delivery.last_error),
    )


def attempt_to_wire(attempt: Attempt) -> AttemptBody:
    """This attempt as this version shows it."""
    has_answer = attempt.response_status is not None
    return AttemptBody(
        number=attempt.number,
        started_at=time_form(attempt.started_at),
        duration_milliseconds=attempt.duration_milliseconds,
        outcome=attempt.outcome,
        response_status=or_unset(attempt.response_status),
        response_body=attempt.response_body.decode(errors="replace") if has_answer else UNSET,
        error=or_unset(attempt.error),
    )


def _delivery_id(call: Call) -> UUID | None:
    """The id in the path, which may be written as the webhook has it."""
    return parse_id(call.path["deliveryId"].removeprefix(rules.WEBHOOK_ID_PREFIX))


async def current(tx: Tx, call: Call) -> DeliveryBody:
    """The delivery as it is, locked: what If-Match is compared with."""
    policy = await notification_policies.get(tx, parse_id(call.path["id"]))
    return to_wire(await delivery_log.get_for_update(tx, policy.id, _delivery_id(call)))


async def _delivery(reading: Reading, call: Call) -> Delivery:
    policy = await notification_policies.get(reading, parse_id(call.path["id"]))
    return await delivery_log.get(reading, policy.id, _delivery_id(call))


@ROUTES.get(_DELIVERIES, query=DeliveryQuery, answer=DeliveryList, summary="List the deliveries of a policy")
async def list_all(reading: Bound, call: Call, query: DeliveryQuery) -> DeliveryList:
    """Deliveries page by page, newest first. What was over 30 days ago is not kept."""
    policy = await notification_policies.get(reading, parse_id(call.path["id"]))
    wanted = Wanted(
        policy_id=policy.id,
        state=None if query.state is UNSET else State(query.state),
        recipient=or_none(query.recipient),
        customer_id=None if query.resource_id is UNSET else parse_id(query.resource_id),
    )
    asked = pager(
        call, (reading.account_id, "deliveries", wanted), PageParameters(query.limit, query.after, query.before)
    )
    page = await delivery_log.fetch(reading, asked.window, wanted)
    return DeliveryList(items=[to_wire(delivery) for delivery in page.items], pagination=asked.pagination(page))


@ROUTES.get(f"{_DELIVERIES}/{{deliveryId}}", answer=DeliveryBody, summary="Get a delivery")
async def get(reading: Bound, call: Call) -> DeliveryBody:
    """One delivery."""
    return to_wire(await _delivery(reading, call))


@ROUTES.get(
    f"{_DELIVERIES}/{{deliveryId}}/attempts",
    query=AttemptQuery,
    answer=AttemptList,
    summary="List the attempts of a delivery",
)
async def list_attempts(reading: Bound, call: Call, query: AttemptQuery) -> AttemptList:
    """What each attempt came to, the last one first."""
    delivery = await _delivery(reading, call)
    limit = DEFAULT_LIMIT if query.limit is UNSET else query.limit
    found, has_more = await delivery_log.attempts(
        reading, delivery.id, limit=limit, before=or_none(query.before_number)
    )
    return AttemptList(items=[attempt_to_wire(attempt) for attempt in found], has_more=has_more)


@ROUTES.post(
    f"{_DELIVERIES}/{{deliveryId}}/retry", answer=DeliveryBody, status=200, summary="Retry a delivery", current=current
)
async def retry(tx: Tx, call: Call) -> DeliveryBody:
    """Attempt a delivery as soon as its recipient may be spoken to, under the same `webhook-id`.

    One that waits for its next attempt waits no longer; one that is over begins again with all its attempts.
    """
    return to_wire(await retry_delivery(tx, parse_id(call.path["id"]), _delivery_id(call)))


@ROUTES.post(
    "/notifications/policies/{id}/test",
    body=TestRequest,
    answer=TestDeliveries,
    summary="Send a test",
    current=policies.current,
)
async def test(tx: Tx, call: Call, body: TestRequest) -> TestDeliveries:
    """Tell each recipient of an example, signed and delivered like everything else, whatever the policy is about."""
    made = await send_test(tx, parse_id(call.path["id"]), EventType(body.notification_type))
    return TestDeliveries(items=[to_wire(delivery) for delivery in made])


@ROUTES.post(
    "/notifications/policies/{id}/replay",
    body=ReplayRequest,
    answer=ReplayBody,
    status=200,
    summary="Replay deliveries",
    current=policies.current,
)
async def replay_all(tx: Tx, call: Call, body: ReplayRequest) -> Outcome:
    """Send once more what happened in a time, or what was given up.

    What was sent before has its old `webhook-id`. What happened before there was the policy, or the recipient, is sent
    for the first time. What waits to be sent already is left as it is.
    """
    wanted = Range(
        start=None if body.from_ is UNSET else time_of(body.from_),
        end=None if body.to is UNSET else time_of(body.to),
        is_failed_only=body.failed_only is True,
        recipient=or_none(body.recipient),
    )
    queued = await replay(tx, parse_id(call.path["id"]), wanted)
    return Outcome(ReplayBody(queued=queued), seen_as=await policies.current(tx, call))
