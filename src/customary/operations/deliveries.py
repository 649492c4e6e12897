"""Telling the recipients of notification policies: one attempt at a time, outside any transaction.

What attempts of one account need to know, and that they succeeded, goes to the database together for as many as there
are at the moment. Where that fails, and for all that did not simply succeed, each is on its own.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import assert_never
from uuid import UUID

import structlog
from msgspec import Struct

from customary.connectors.mail import Mailer
from customary.connectors.webhook import WebhookSender
from customary.crashpoint import crashpoint
from customary.domain import delivery as rules
from customary.domain import example, signature
from customary.domain import message as messages
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.delivery import Answer, EndpointState, Health, Next, Outcome, RecipientStates, State
from customary.domain.job import Job, Kind
from customary.domain.notification import Channel
from customary.errors import Undecryptable, UnknownVersion
from customary.gathering import Gathering
from customary.metrics.process import Metrics
from customary.operations.delivery_metrics import ALERT, DeliveryMetrics
from customary.operations.recording import record
from customary.operations.work import SERVICE, persistently
from customary.storage import deliveries, endpoints, jobs, policy_secrets, replays
from customary.storage.database import Database, Reading, Tx
from customary.storage.deliveries import Notice, Order
from customary.storage.endpoints import Endpoint

REMOVED = "Its recipient was removed from the policy, or the policy deleted."
_NO_MAIL = "This service has no mail server. Its operator can name one with CUSTOMARY_SMTP_URL and CUSTOMARY_MAIL_FROM."

_log = structlog.get_logger("customary.deliveries")


class _Prepared(Struct, frozen=True):
    """What is to be sent, with what signs it, and the bodies that were made so far of what was looked up with it."""

    order: Order
    secrets: Sequence[str] | Undecryptable
    bodies: dict[tuple[UUID, str], bytes]


class Courier:
    """Sends deliveries. `payload` makes the body of a webhook, in the API version of its policy."""

    def __init__(
        self,
        database: Database,
        *,
        webhooks: WebhookSender,
        mailer: Mailer | None,
        payload: Callable[[UUID, Order], bytes],
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = DeliveryMetrics(metrics or Metrics())
        self._database = database
        self._webhooks = webhooks
        self._mailer = mailer
        self._payload = payload
        self._prepared = Gathering(self._look_up)
        self._delivered = Gathering(self._record_delivered)

    async def deliver(self, job: Job) -> None:
        """Make one attempt and record it. Raises `Failure` where the database does not answer for minutes."""
        prepared = await self._prepare(job)
        if prepared is None:
            await persistently(lambda: self._cancel(job))
            return
        crashpoint("delivery.before_send")
        answer = await self._send(job, prepared)
        if answer is None:
            await persistently(lambda: self._cancel(job))
            return
        self._metrics.attempted(prepared.order.channel.value, answer)
        crashpoint("delivery.after_send")
        if answer.outcome is not Outcome.DELIVERED or not await self._is_recorded(job, answer):
            await persistently(lambda: self._record(job, prepared.order, answer))
        crashpoint("delivery.after_commit")

    async def alert(self, job: Job) -> None:
        """Tell an administrator that a recipient was paused or disabled. Raises `Failure` as `deliver` does."""
        notice = await persistently(lambda: self._find_notice(job))
        if notice is None:
            await persistently(lambda: self._cancel(job))
            return
        answer = await self._notify(job, notice)
        self._metrics.attempted(ALERT, answer)
        await persistently(lambda: self._record_alert(job, answer))

    async def _prepare(self, job: Job) -> _Prepared | None:
        """What to send, looked up together with others; None where nobody waits for it any more."""
        try:
            return await self._prepared.ask(job.account_id, job)
        except Exception:  # noqa: BLE001 - on its own it shows whose trouble that was
            return await persistently(lambda: self._prepare_alone(job))

    async def _prepare_alone(self, job: Job) -> _Prepared | None:
        [prepared] = await self._look_up(job.account_id, [job])
        return prepared

    async def _look_up(self, account_id: UUID, sought: Sequence[Job]) -> list[_Prepared | None]:
        async with self._database.reading(account_id) as reading:
            orders = await deliveries.find(reading, sought)
            policies = {each.policy_id for each in orders if each is not None and each.channel is Channel.WEBHOOK}
            secrets = {policy_id: await _secrets(reading, policy_id) for policy_id in policies}
        bodies = dict[tuple[UUID, str], bytes]()
        return [each and _Prepared(each, secrets.get(each.policy_id, ()), bodies) for each in orders]

    async def _is_recorded(self, job: Job, answer: Answer) -> bool:
        """Whether that it was delivered is stored together with others; where not, it is to be recorded alone."""
        try:
            return await self._delivered.ask(job.account_id, (job, answer))
        except Exception:  # noqa: BLE001 - maybe it is stored: then its lease is over, and it is found out alone
            return False

    async def _record_delivered(self, account_id: UUID, delivered: Sequence[tuple[Job, Answer]]) -> list[bool]:
        beginning = deliveries.record_delivered(account_id, delivered)
        async with self._database.transaction(account_id, SERVICE, beginning=beginning) as tx:
            finished = set(tx.first["finished"])
            crashpoint("delivery.before_commit")
        return [job.id in finished for job, _ in delivered]

    async def _find_notice(self, job: Job) -> Notice | None:
        async with self._database.reading(job.account_id) as reading:
            return await deliveries.find_notice(reading, job)

    async def _record(self, job: Job, order: Order, answer: Answer) -> None:
        async with self._database.transaction(job.account_id, SERVICE) as tx:
            await _record(tx, job, order, answer)
            crashpoint("delivery.before_commit")

    async def _record_alert(self, job: Job, answer: Answer) -> None:
        async with self._database.transaction(job.account_id, SERVICE) as tx:
            if await jobs.finish(tx, job, _following(job, answer, Health(), tx)):
                await deliveries.record(tx, job, answer)

    async def _send(self, job: Job, prepared: _Prepared) -> Answer | None:
        """What came of it; None where the policy was deleted after the look-up and nothing was sent."""
        channel = prepared.order.channel
        match channel:
            case Channel.WEBHOOK:
                return await self._post(job, prepared)
            case Channel.EMAIL:
                return await self._mail(job, prepared.order)
            case _:
                assert_never(channel)

    async def _post(self, job: Job, prepared: _Prepared) -> Answer | None:
        order, secrets = prepared.order, prepared.secrets
        try:
            if isinstance(secrets, Undecryptable):
                raise secrets
            if not secrets and await persistently(lambda: self._prepare_alone(job)) is None:
                return None  # its secrets went with the policy
            body = self._body(job, prepared)
        # The policy is older than what this release still speaks, or its key is not at hand: both are for people to
        # mend, and until then the recipient is paused.
        except (UnknownVersion, Undecryptable) as failure:
            return Answer(outcome=Outcome.FORBIDDEN, seconds=0, error=str(failure))
        headers = signature.headers(secrets, message_id=rules.webhook_id(job.id), body=body, at=datetime.now(UTC))
        if job.event_id is not None and order.version is not None:
            headers |= rules.event_headers(job.event_id, order.version)
        return await self._webhooks.send(order.recipient, body, headers)

    def _body(self, job: Job, prepared: _Prepared) -> bytes:
        """The body, which is the same for all who are told of an event in one version. Raises `UnknownVersion`."""
        if job.event_id is None:
            return self._payload(job.account_id, prepared.order)
        what = job.event_id, prepared.order.api_version
        if what not in prepared.bodies:
            prepared.bodies[what] = self._payload(job.account_id, prepared.order)
        return prepared.bodies[what]

    async def _mail(self, job: Job, order: Order) -> Answer:
        if self._mailer is None:
            return Answer(outcome=Outcome.UNREACHABLE, seconds=0, error=_NO_MAIL)
        text = messages.message(
            order.event_type,
            order.customer or example.customer(order.event_type),
            account_name=order.account_name,
            policy_name=order.policy_name,
            at=order.created_at or datetime.now(UTC),
            is_test=order.customer is None,
        )
        return await self._mailer.send(order.recipient, text.subject, text.text, message_id=str(job.id))

    async def _notify(self, job: Job, notice: Notice) -> Answer:
        if self._mailer is None:
            return Answer(outcome=Outcome.UNREACHABLE, seconds=0, error=_NO_MAIL)
        text = messages.paused_message(
            policy_name=notice.policy_name,
            account_name=notice.account_name,
            recipient=notice.recipient,
            is_disabled=job.event_type == EndpointState.DISABLED,
            reason=notice.reason,
            failing_since=notice.failing_since,
        )
        return await self._mailer.send(notice.email, text.subject, text.text, message_id=str(job.id))

    async def _cancel(self, job: Job) -> None:
        """Cancel a delivery that nobody waits for any more, and what waits in its lane like it."""
        async with self._database.transaction(job.account_id, SERVICE) as tx:
            cancelled = Next(state=State.CANCELLED, attempts_left=job.attempts_left, reason=REMOVED)
            if await jobs.finish(tx, job, cancelled) and job.kind is Kind.DELIVERY:
                endpoint = await endpoints.get_for_update(tx, job.lane_id)
                if endpoint is None or endpoint.health.state is EndpointState.REMOVED:
                    await jobs.cancel_lane(tx, job.lane_id, REMOVED)


async def _secrets(reading: Reading, policy_id: UUID) -> Sequence[str] | Undecryptable:
    """What signs for this policy now, or why that cannot be read."""
    try:
        return await policy_secrets.live(reading, policy_id)
    except Undecryptable as failure:
        return failure


async def _record(tx: Tx, job: Job, order: Order, answer: Answer) -> None:
    """Store what came of an attempt: for the delivery, in its log and for the recipient, or nothing of it."""
    endpoint = await endpoints.get_for_update(tx, job.lane_id)
    if endpoint is None:
        return
    health = rules.after_answer(endpoint.health, answer, now=tx.now)
    following = _following(job, answer, endpoint.health, tx, opens_at=health.opens_at)
    if following.state is State.PENDING and endpoint.health.state is EndpointState.REMOVED:
        following = Next(state=State.CANCELLED, attempts_left=following.attempts_left, reason=REMOVED)
    if not await jobs.finish(tx, job, following):
        _log.warning("delivery_overtaken", job_id=job.id, attempt=job.attempts)
        return
    await deliveries.record(tx, job, answer)
    if health != endpoint.health:
        await endpoints.save_health(tx, endpoint.id, health)
    if health.state is not endpoint.health.state:
        await _tell(tx, order, endpoint, health)


async def _tell(tx: Tx, order: Order, endpoint: Endpoint, health: Health) -> None:
    """Write down that a recipient was paused, disabled or resumed, and let the account's people know of the former."""
    _log.warning("endpoint_changed", endpoint_id=endpoint.id, policy_id=order.policy_id, state=health.state)
    policy = Reference(ObjectType.NOTIFICATION_POLICY, order.policy_id)
    before, after = ({endpoint.recipient: each.state.value} for each in (endpoint.health, health))
    await record(tx, Verb.UPDATED, policy, before=RecipientStates(before), after=RecipientStates(after))
    if health.state is EndpointState.ACTIVE:
        await replays.make_lane_due(tx, endpoint.id)
    else:
        await jobs.add_alerts(tx, endpoint.id, health.state.value)


def _following(job: Job, answer: Answer, health: Health, tx: Tx, *, opens_at: datetime | None = None) -> Next:
    return rules.after_attempt(
        answer,
        health,
        attempts_left=job.attempts_left,
        queued_at=job.queued_at,
        now=tx.now,
        opens_at=opens_at,
        chance=random.random(),  # noqa: S311 - spreads attempts over time, guards nothing
    )
