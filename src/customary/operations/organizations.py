"""Creating, changing and deleting organisations. Whoever joins or leaves one, and its owner, has changed with it."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from customary.domain import organization as rules
from customary.domain.activity import Event, EventType, ObjectType, Reference, Verb
from customary.domain.customer import Organization
from customary.domain.organization import Candidate
from customary.errors import Conflict, Problem
from customary.operations.recording import customer_reference, new_id, record
from customary.storage import organizations, outbox
from customary.storage.database import Tx


async def create_organization(tx: Tx, owner: Candidate, members: Sequence[Candidate]) -> Organization:
    """Make an organisation.

    Raises `Invalid` for customers that are unknown or may not be members, `Conflict` for archived ones and for an
    owner that owns one already.
    """
    await organizations.lock(tx)
    asked = [owner, *members]
    known = await organizations.lock_customers(tx, _ids(asked))
    above = await organizations.ancestors(tx, owner.id) if owner.id else set[UUID]()
    rules.require_possible(owner.id, asked, known, above=above, own_key=owner.key)
    assert owner.id is not None  # noqa: S101 - an owner without an id is an unknown customer
    rules.require_writable(asked, known)
    owned = await organizations.owned_by(tx, owner.id)
    if owned is not None:
        message = (
            f"Customer {owner.id} ('{known[owner.id].name}') owns organisation {owned} already."
            f" Change its members with PUT /customer-organizations/{owned}/members."
        )
        raise Conflict(message, (Problem(owner.key, "ownsOrganization", message),))
    organization_id = await organizations.ensure(tx, owner.id, new_id())
    await organizations.add(tx, organization_id, _ids(members))
    after = await organizations.get(tx, organization_id)
    await _record(tx, Verb.CREATED, None, after)
    await touch_customers(tx, _ids(asked))
    return after


async def add_members(tx: Tx, organization_id: UUID | None, members: Sequence[Candidate]) -> Organization:
    """Add these customers to those that are members; with nobody new nothing is stored.

    Raises `NotFound`, `Invalid` for customers that are unknown or may not be members, `Conflict` for archived ones.
    """
    before = await organizations.get_for_update(tx, organization_id)
    return await _change_members(tx, before, members, left=frozenset())


async def replace_members(tx: Tx, organization_id: UUID | None, members: Sequence[Candidate]) -> Organization:
    """Make these customers the only members; where they are that already nothing is stored.

    Raises `NotFound`, `Invalid` for customers that are unknown or may not be members, `Conflict` for archived ones.
    """
    before = await organizations.get_for_update(tx, organization_id)
    left = frozenset(member.id for member in before.members) - _ids(members)
    return await _change_members(tx, before, members, left=left)


async def delete_organization(tx: Tx, organization_id: UUID | None) -> Organization:
    """Remove an organisation, whose customers stay; answers it as it was. Raises `NotFound`."""
    before = await organizations.get_for_update(tx, organization_id)
    touched = [before.owner.id, *(member.id for member in before.members)]
    await organizations.lock_customers(tx, touched)
    await organizations.delete(tx, before.id)
    await _record(tx, Verb.DELETED, before, None)
    await touch_customers(tx, touched)
    return before


async def touch_customers(tx: Tx, customer_ids: Collection[UUID]) -> None:
    """Count a change of their organisations as one of each of these locked customers, and tell the world."""
    if not customer_ids:
        return
    touched = await organizations.touch_customers(tx, customer_ids)
    await outbox.append_batch(
        tx, [Event(new_id(), EventType.CUSTOMER_UPDATED, customer, tx.now) for customer in touched]
    )


async def _change_members(
    tx: Tx, before: Organization, members: Sequence[Candidate], *, left: frozenset[UUID]
) -> Organization:
    owner = Candidate("", str(before.owner.id))
    held = {member.id for member in before.members}
    joining = [candidate for candidate in members if candidate.id not in held]
    joined = _ids(joining)
    known = await organizations.lock_customers(tx, {before.owner.id, *joined, *left})
    above = await organizations.ancestors(tx, before.owner.id) if joined else set[UUID]()
    rules.require_possible(before.owner.id, joining, known, above=above)
    rules.require_writable([owner, *joining], known)
    if not joined and not left:
        return before
    if left:
        await organizations.remove(tx, before.id, left)
    if joined:
        await organizations.add(tx, before.id, joined)
    after = await organizations.get(tx, before.id)
    await _record(tx, Verb.UPDATED, before, after)
    await touch_customers(tx, {before.owner.id, *joined, *left})
    return after


def _ids(candidates: Iterable[Candidate]) -> set[UUID]:
    return {candidate.id for candidate in candidates if candidate.id is not None}


async def _record(tx: Tx, verb: Verb, before: Organization | None, after: Organization | None) -> None:
    organization = after or before
    assert organization is not None  # noqa: S101 - a change has a thing before it or after it
    thing = Reference(ObjectType.CUSTOMER_ORGANIZATION, organization.id)
    await record(tx, verb, thing, before=before, after=after, target=customer_reference(organization.owner.id))
