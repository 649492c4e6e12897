"""Adding, labelling and deleting aliases one by one, and taking values that somebody else may hold."""

from collections.abc import Callable, Sequence
from uuid import UUID

from customary.domain import aliases as alias_rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.aliases import AliasWrite, OwnedAlias
from customary.domain.customer import Alias
from customary.domain.values import parse_id
from customary.errors import Conflict, Contended, Failure, Invalid, NotFound, Problem
from customary.operations.recording import new_id, record_part
from customary.storage import aliases, customers
from customary.storage.aliases import Holder
from customary.storage.database import Tx


async def create_alias(tx: Tx, customer_id: UUID, write: AliasWrite) -> OwnedAlias:
    """Give a customer another alias.

    Raises `Invalid` for an unknown customer and for one alias too many, `Conflict` for an archived customer and for a
    value that is taken, be it by this customer.
    """
    try:
        before = await customers.get_for_update(tx, customer_id)
    except NotFound:
        message = f"There is no customer {customer_id} in this account."
        raise Invalid(message, (Problem("customerId", "unknownCustomer", message),)) from None
    customer, alias = alias_rules.add(before, write, at=tx.now, new_id=new_id)
    take(tx, customer.id, [alias], refused=_taken)
    await customers.save(tx, customer, before=before)
    await record_part(tx, Verb.CREATED, _reference(alias), before=None, after=alias, customer=customer)
    return OwnedAlias(customer.id, alias)


async def relabel_alias(tx: Tx, alias_id: UUID | None, label: str | None) -> OwnedAlias:
    """Give an alias this label, or none; a label that it has already stores nothing.

    Raises `NotFound`, `Conflict` for an archived customer.
    """
    before, alias = await aliases.get_for_update(tx, alias_id)
    customer, after = alias_rules.relabel(before, alias, label, at=tx.now)
    if after is not alias:
        await customers.save(tx, customer, before=before)
        await aliases.relabel(tx, after)
        await record_part(tx, Verb.UPDATED, _reference(alias), before=alias, after=after, customer=customer)
    return OwnedAlias(customer.id, after)


async def delete_alias(tx: Tx, alias_id: UUID | None) -> OwnedAlias:
    """Free the value of an alias for any customer. Raises `NotFound`, `Conflict` for an archived customer."""
    before, alias = await aliases.get_for_update(tx, alias_id)
    customer = alias_rules.remove(before, alias, at=tx.now)
    await customers.save(tx, customer, before=before)
    await aliases.delete(tx, [alias])
    await record_part(tx, Verb.DELETED, _reference(alias), before=alias, after=None, customer=customer)
    return OwnedAlias(customer.id, alias, deleted_at=tx.now)


def take(tx: Tx, customer_id: UUID, new: Sequence[Alias], *, refused: Callable[[dict[str, Holder]], Failure]) -> None:
    """Store these new aliases of a customer, with whatever else the transaction adds.

    Where some are held by others, `refused` gets who holds them, by value, and its failure undoes the transaction.
    """

    async def told(stored: list[str]) -> None:
        holders = await _holders(tx, customer_id, new, set(stored))
        if holders:
            raise refused(holders)

    is_plain = all(parse_id(alias.value) is None for alias in new)
    aliases.insert(tx, customer_id, new, told=told, expected=len(new) if is_plain else None)


async def _holders(tx: Tx, customer_id: UUID, new: Sequence[Alias], stored: set[str]) -> dict[str, Holder]:
    """Who else holds these values, of which some could be stored."""
    # A customer's id is always an alias of it, so another customer's id is taken although no row says so.
    doubtful = [alias.value for alias in new if alias.value not in stored or parse_id(alias.value) is not None]
    holders = await aliases.holders(tx, doubtful) if doubtful else {}
    if any(value not in stored and value not in holders for value in doubtful):
        # Who held it has given it up since: another attempt finds it free.
        message = "An alias of this request was freed a moment ago. Try again."
        raise Contended(message)
    return {
        value: holder for value, holder in holders.items() if value not in stored or holder.customer_id != customer_id
    }


def holder_sentence(holder: Holder) -> str:
    """Who holds a value, and what to do to have it."""
    named = f"customer {holder.customer_id} ('{holder.legal_name}')"
    if holder.alias_id is None:
        return f"'{holder.value}' is the id of {named} and cannot be the alias of another one."
    free_it = f"DELETE /customer-aliases/{holder.alias_id}"
    if holder.is_archived:
        named += ", which is archived"
        free_it = f"POST /customers/{holder.customer_id}/unarchive and {free_it}"
    return f"The alias '{holder.value}' belongs to {named}. Free it with {free_it}, then send this request again."


def _taken(holders: dict[str, Holder]) -> Conflict:
    [holder] = holders.values()
    message = holder_sentence(holder)
    return Conflict(message, (Problem("value", "aliasTaken", message),))


def _reference(alias: Alias) -> Reference:
    return Reference(ObjectType.CUSTOMER_ALIAS, alias.id)
