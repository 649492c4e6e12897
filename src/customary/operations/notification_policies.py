"""Making, changing and removing notification policies."""

import secrets
from base64 import b64encode
from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from customary.domain import notification as rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.notification import Channel, NotificationType, Policy, PolicyWrite
from customary.domain.signature import SECRET_PREFIX
from customary.errors import Invalid, Problem
from customary.operations.recording import new_id, record
from customary.storage import endpoints, notification_policies, policy_secrets
from customary.storage.database import Tx

_SECRET_BYTES = 32
_HIDDEN = frozenset({"webhook_secret"})
_NO_MAIL = (
    "The operator of this service has not set up a mail server, so nothing can be sent by e-mail. Use the channel"
    " WEBHOOK, or ask for CUSTOMARY_SMTP_URL and CUSTOMARY_MAIL_FROM to be set."
)


async def create_policy(tx: Tx, write: PolicyWrite, *, has_mail: bool) -> Policy:
    """Store a new policy, for the API version that it is made under. Raises `Invalid`.

    Without mail (`has_mail`) there is no policy by e-mail: it would look as if it told somebody.
    """
    if write.channel is Channel.EMAIL and not has_mail:
        raise Invalid(_NO_MAIL, (Problem("channel", "mailNotSetUp", _NO_MAIL),))
    policy = rules.create(
        write, policy_id=new_id(), at=tx.now, api_version=tx.caller.api_version, new_secret=new_secret()
    )
    await notification_policies.insert(tx, policy)
    if policy.webhook_secret is not None:
        await policy_secrets.insert(tx, policy.id, policy.webhook_secret)
    await endpoints.follow(tx, policy)
    await _record(tx, Verb.CREATED, None, policy)
    return policy


async def add_recipients(tx: Tx, policy_id: UUID | None, recipients: tuple[str, ...]) -> Policy:
    """Let a policy tell more recipients. Raises `NotFound`, `Invalid`."""
    before = await notification_policies.get_for_update(tx, policy_id)
    return await _save(tx, before, rules.add_recipients(before, recipients))


async def remove_recipient(tx: Tx, policy_id: UUID | None, recipient: str) -> Policy:
    """Let a policy tell one recipient less. Raises `NotFound`, `Invalid` for the last one."""
    before = await notification_policies.get_for_update(tx, policy_id)
    return await _save(tx, before, rules.remove_recipient(before, recipient))


async def add_types(tx: Tx, policy_id: UUID | None, types: tuple[NotificationType, ...]) -> Policy:
    """Let a policy tell of more. Raises `NotFound`."""
    before = await notification_policies.get_for_update(tx, policy_id)
    return await _save(tx, before, rules.add_types(before, types))


async def remove_type(tx: Tx, policy_id: UUID | None, removed: NotificationType | None) -> Policy:
    """Let a policy tell of one thing less. Raises `NotFound`, `Invalid` for the last one."""
    before = await notification_policies.get_for_update(tx, policy_id)
    return await _save(tx, before, rules.remove_type(before, removed))


async def set_order(tx: Tx, policy_id: UUID | None, *, is_ordered: bool) -> Policy:
    """Let a policy tell of each customer's changes one after another, or as fast as it can. Raises `NotFound`."""
    before = await notification_policies.get_for_update(tx, policy_id)
    return await _save(tx, before, replace(before, is_ordered=is_ordered))


async def rotate_secret(tx: Tx, policy_id: UUID | None, overlap: timedelta, secret: str | None = None) -> Policy:
    """Give a policy a new secret, this one or one that is made; the older ones sign beside it until the overlap ends.

    The answer has the secret. Raises `NotFound`, `Invalid` for a policy that has none.
    """
    before = await notification_policies.get_for_update(tx, policy_id)
    policy = rules.with_secret(before, secret or new_secret())
    await policy_secrets.rotate(tx, policy.id, str(policy.webhook_secret), overlap)
    await _record(tx, Verb.UPDATED, before, policy)
    return policy


async def delete_policy(tx: Tx, policy_id: UUID | None) -> Policy:
    """Remove a policy: nobody is told anything through it any more. Raises `NotFound`."""
    policy = await notification_policies.get_for_update(tx, policy_id)
    await notification_policies.delete(tx, policy)
    await endpoints.remove_all(tx, policy.id)
    await _record(tx, Verb.DELETED, policy, None)
    return policy


def new_secret() -> str:
    """A secret that signs webhooks, in the form that serves both kinds of signatures."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


async def _save(tx: Tx, before: Policy, policy: Policy) -> Policy:
    if policy != before:
        await notification_policies.save(tx, policy)
        await endpoints.follow(tx, policy)
        await _record(tx, Verb.UPDATED, before, policy)
    return policy


async def _record(tx: Tx, verb: Verb, before: Policy | None, after: Policy | None) -> None:
    policy = after or before
    assert policy is not None  # noqa: S101 - a change has a policy before it or after it
    thing = Reference(ObjectType.NOTIFICATION_POLICY, policy.id)
    await record(tx, verb, thing, before=before, after=after, hidden=_HIDDEN)
