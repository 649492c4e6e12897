"""Lets imported customers join the organisations of those whom their rows name, once all customers are in."""

from collections.abc import Sequence
from uuid import UUID

from customary.domain.activity import ObjectType, Reference, Verb
from customary.errors import SetupError
from customary.operations.organizations import touch_customers
from customary.operations.recording import customer_reference, new_id, operator_transaction, record
from customary.storage import imports, organizations
from customary.storage.database import Connection, Tx
from customary.storage.imports import Member

_MEMBERS_AT_ONCE = 1_000


async def join_members(owner: Connection, account_id: UUID, digest: bytes) -> None:
    """Let everybody join who still has to, and finish the import. Raises `SetupError` where an owner is gone."""
    while True:
        async with operator_transaction(owner, account_id) as tx:
            await organizations.lock(tx)
            members = await imports.members(tx, digest, _MEMBERS_AT_ONCE)
            if not members:
                await imports.finish(tx, digest)
                return
            await _join(tx, members)
            await imports.forget_members(tx, digest, members)


async def _join(tx: Tx, members: Sequence[Member]) -> None:
    """Members join, and each organisation's change is written down once, however many they are."""
    by_owner: dict[UUID, list[Member]] = {}
    for member in members:
        by_owner.setdefault(_known_owner(member), []).append(member)
    touched = {*by_owner, *(member.customer_id for member in members)}
    await organizations.lock_customers(tx, touched)
    for owner_id, joining in by_owner.items():
        await _refuse_circles(tx, owner_id, joining)
        await _join_one(tx, owner_id, joining)
    await touch_customers(tx, touched)


async def _join_one(tx: Tx, owner_id: UUID, joining: Sequence[Member]) -> None:
    owned = await organizations.owned_by(tx, owner_id)
    before = None if owned is None else await organizations.get(tx, owned)
    organization_id = await organizations.ensure(tx, owner_id, new_id())
    for is_by_parent in (True, False):
        ids = [member.customer_id for member in joining if member.is_by_parent is is_by_parent]
        await organizations.join(tx, organization_id, ids, is_by_parent=is_by_parent)
    after = await organizations.get(tx, organization_id)
    thing = Reference(ObjectType.CUSTOMER_ORGANIZATION, organization_id)
    verb = Verb.CREATED if before is None else Verb.UPDATED
    await record(tx, verb, thing, before=before, after=after, target=customer_reference(owner_id))


def _known_owner(member: Member) -> UUID:
    if member.owner_id is None:
        message = (
            f"Line {member.line}: there is no customer '{member.owner}' in this account any more. Give one that alias,"
            " then run the same command again."
        )
        raise SetupError(message)
    return member.owner_id


async def _refuse_circles(tx: Tx, owner_id: UUID, joining: Sequence[Member]) -> None:
    above = await organizations.ancestors(tx, owner_id)
    for member in joining:
        if member.customer_id in above:
            message = (
                f"Line {member.line}: customer '{member.owner}' has come to be below this one, so it cannot be above it"
                " too. Change that, then run the same command again."
            )
            raise SetupError(message)
