"""Making, changing and removing notification policies."""

import secrets
from base64 import b64encode
from uuid import UUID

from customary.domain import notification as rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.notification import NotificationType, Policy, PolicyWrite
from customary.operations.recording import new_id, record
from customary.storage import notification_policies
from customary.storage.database import Tx

SECRET_PREFIX = "whsec_"  # noqa: S105 - it marks a secret in a leaked file, it is none
_SECRET_BYTES = 32
_HIDDEN = frozenset({"webhook_secret"})


async def create_policy(tx: Tx, write: PolicyWrite) -> Policy:
    """Store a new policy, for the API version that it is made under. Raises `Invalid`."""
    secret = SECRET_PREFIX + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    policy = rules.create(write, policy_id=new_id(), at=tx.now, api_version=tx.caller.api_version, new_secret=secret)
    await notification_policies.insert(tx, policy)
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


async def delete_policy(tx: Tx, policy_id: UUID | None) -> Policy:
    """Remove a policy: nobody is told anything through it any more. Raises `NotFound`."""
    policy = await notification_policies.get_for_update(tx, policy_id)
    await notification_policies.delete(tx, policy)
    await _record(tx, Verb.DELETED, policy, None)
    return policy


async def _save(tx: Tx, before: Policy, policy: Policy) -> Policy:
    if policy != before:
        await notification_policies.save(tx, policy)
        await _record(tx, Verb.UPDATED, before, policy)
    return policy


async def _record(tx: Tx, verb: Verb, before: Policy | None, after: Policy | None) -> None:
    policy = after or before
    assert policy is not None  # noqa: S101 - a change has a policy before it or after it
    thing = Reference(ObjectType.NOTIFICATION_POLICY, policy.id)
    await record(tx, verb, thing, before=before, after=after, hidden=_HIDDEN)
