"""What people do about deliveries: try a policy out, attempt one again, replay many, and let a recipient go on."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from customary.domain.activity import EventType, ObjectType, Reference, Verb
from customary.domain.delivery import LONGEST_ATTEMPT_SECONDS, EndpointState, Health, RecipientStates, State
from customary.domain.notification import Policy, named_recipient
from customary.errors import Conflict, Invalid, Problem
from customary.operations.recording import record
from customary.storage import delivery_log, endpoints, notification_policies, replays
from customary.storage.database import Tx
from customary.storage.delivery_log import Delivery
from customary.storage.endpoints import Endpoint

# One transaction makes all of a replay, and readers of the change feed wait for it.
MOST_REPLAYED = 100_000
_TOO_MANY = (
    f"This would be more than {MOST_REPLAYED} deliveries, which is the most for one replay. Give a shorter time, or one"
    " recipient, and go on from there."
)
_REMOVED = (
    "The recipient was removed from the policy, so nothing is sent to it. Add it again, then replay the time that it"
    " missed."
)
_IN_FLIGHT = "This delivery is being attempted right now. See what comes of it, and try again if it fails."


class Range(Struct, frozen=True, kw_only=True):
    """What to replay: events from `start` on, to before `end`; with `is_failed_only` of those what was given up.

    With a `recipient`, only what is for it.
    """

    start: datetime | None = None
    end: datetime | None = None
    is_failed_only: bool = False
    recipient: str | None = None


class _Tested(Struct, frozen=True):
    tested: EventType


class _Retried(Struct, frozen=True):
    retried_delivery: UUID


class _Replayed(Struct, frozen=True):
    replayed: dict[str, datetime | str | int | None]


async def send_test(tx: Tx, policy_id: UUID | None, event_type: EventType) -> list[Delivery]:
    """Let each recipient of a policy be told of an example, whatever the policy is about. Raises `NotFound`."""
    policy = await notification_policies.get(tx, policy_id)
    lanes = [each.id for each in await endpoints.of_policy(tx, policy.id)]
    made = await replays.add_tests(tx, lanes, event_type)
    await _record(tx, policy.id, _Tested(event_type))
    found = await delivery_log.some(tx, made)
    return sorted(found, key=lambda delivery: policy.recipients.index(delivery.recipient))


async def retry_delivery(tx: Tx, policy_id: UUID | None, delivery_id: UUID | None) -> Delivery:
    """Attempt a delivery now, under the id that it has; one that is over gets all its attempts again.

    Raises `NotFound`, `Conflict` while it is being attempted, or where its recipient was removed.
    """
    policy = await notification_policies.get(tx, policy_id)
    delivery = await delivery_log.get_for_update(tx, policy.id, delivery_id)
    if delivery.recipient_state is EndpointState.REMOVED:
        raise Conflict(_REMOVED)
    if delivery.is_in_flight:
        conflict = Conflict(_IN_FLIGHT)
        conflict.retry_after_seconds = round(LONGEST_ATTEMPT_SECONDS)
        raise conflict
    if delivery.state is State.PENDING:
        await replays.make_due(tx, delivery.id)
    else:
        await replays.queue_again(tx, [delivery.id])
    await _record(tx, policy.id, _Retried(delivery.id))
    return await delivery_log.get(tx, policy.id, delivery.id)


async def replay(tx: Tx, policy_id: UUID | None, wanted: Range) -> int:
    """Send once more what a policy is about, or send it for the first time if it came before the policy.

    What waits to be sent already is left as it is. Answers how many deliveries were queued. Raises `NotFound`,
    `Invalid` for a range that says nothing or too much, or a recipient that the policy does not have.
    """
    _check(wanted)
    policy = await notification_policies.get_for_update(tx, policy_id)
    lanes = [each.id for each in await _endpoints(tx, policy, wanted.recipient)]
    if wanted.is_failed_only:
        queued = await _queue_failed(tx, lanes, wanted)
    else:
        queued = await _queue_events(tx, policy, lanes, wanted)
    if queued:
        await _record(tx, policy.id, _Replayed(_shown(wanted, queued)))
    return queued


async def resume_recipient(tx: Tx, policy_id: UUID | None, recipient: str) -> str:
    """Let a recipient be spoken to again, and all that waits for it be sent now; the recipient as the policy has it.

    Raises `NotFound`, and `Invalid` for a recipient that the policy does not have.
    """
    policy = await notification_policies.get_for_update(tx, policy_id)
    [found] = await _endpoints(tx, policy, recipient)
    endpoint = await endpoints.get_for_update(tx, found.id) or found
    await endpoints.save_health(tx, endpoint.id, Health())
    await replays.make_lane_due(tx, endpoint.id)
    before, after = ({endpoint.recipient: each.state.value} for each in (endpoint.health, Health()))
    if before != after:
        await _record(tx, policy.id, RecipientStates(after), before=RecipientStates(before))
    return endpoint.recipient


def _check(wanted: Range) -> None:
    if wanted.start is None and not wanted.is_failed_only:
        message = "Say what to replay: everything 'from' a time on, or with 'failedOnly' what was given up."
        raise Invalid(message, (Problem("from", "required", message),))
    if wanted.start is not None and wanted.end is not None and wanted.end <= wanted.start:
        message = "'to' has to be later than 'from', or there is nothing between them."
        raise Invalid(message, (Problem("to", "range", message),))


async def _endpoints(tx: Tx, policy: Policy, recipient: str | None) -> list[Endpoint]:
    """The recipients of a policy, or the one that is meant. Raises `Invalid` for one that it does not have."""
    found = await endpoints.of_policy(tx, policy.id)
    if recipient is None:
        return found
    name = named_recipient(policy, recipient)
    if name is None:
        message = "This notification policy has no such recipient."
        raise Invalid(message, (Problem("recipient", "unknownRecipient", message),))
    return [each for each in found if each.recipient == name]


async def _queue_failed(tx: Tx, lanes: Sequence[UUID], wanted: Range) -> int:
    failed = await replays.failed(tx, lanes, wanted.start, wanted.end, limit=MOST_REPLAYED + 1)
    if len(failed) > MOST_REPLAYED:
        raise Invalid(_TOO_MANY, (Problem("to", "tooMany", _TOO_MANY),))
    return await replays.queue_again(tx, failed)


async def _queue_events(tx: Tx, policy: Policy, lanes: Sequence[UUID], wanted: Range) -> int:
    assert wanted.start is not None  # noqa: S101 - `_check` has seen to it
    types = None if policy.notification_types is None else [each.value for each in policy.notification_types]
    most = MOST_REPLAYED // len(lanes)
    events = await replays.events_between(tx, wanted.start, wanted.end, types, limit=most + 1)
    if len(events) > most:
        raise Invalid(_TOO_MANY, (Problem("to", "tooMany", _TOO_MANY),))
    return await replays.queue_events(tx, events, lanes)


def _shown(wanted: Range, queued: int) -> dict[str, datetime | str | int | None]:
    return {
        "from": wanted.start,
        "to": wanted.end,
        "failed_only": wanted.is_failed_only,
        "recipient": wanted.recipient,
        "queued": queued,
    }


async def _record(tx: Tx, policy_id: UUID, after: Struct, *, before: Struct | None = None) -> None:
    """Write down what was asked for: a policy's activities say it, as they say who changed it."""
    policy = Reference(ObjectType.NOTIFICATION_POLICY, policy_id)
    await record(tx, Verb.UPDATED, policy, before=before, after=after)
