"""Letting people into an account, and out of it."""

from uuid import UUID

from customary.domain import user as rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.user import Role, User
from customary.domain.values import check_email, parse_id
from customary.errors import Conflict, Forbidden, Invalid, Problem
from customary.operations.recording import new_id, operator_transaction, record
from customary.storage import users
from customary.storage.database import Connection, Tx

_MAXIMUM_EMAIL_LENGTH = 254


async def create_user(tx: Tx, email: str, role: Role) -> User:
    """Let somebody into the account. Raises `Invalid` for no e-mail address, `Conflict` for one that is taken."""
    try:
        check_email(email)
    except ValueError as error:
        raise Invalid(str(error), (Problem("email", "email", str(error)),)) from None
    if len(email) > _MAXIMUM_EMAIL_LENGTH:
        message = f"An e-mail address has at most {_MAXIMUM_EMAIL_LENGTH} characters."
        raise Invalid(message, (Problem("email", "tooLong", message),))
    user = User(id=new_id(), email=email, role=role, created_at=tx.now)
    if not await users.insert(tx, user):
        message = f"There is a user '{email}' in this account already."
        raise Conflict(message, (Problem("email", "taken", message),))
    await record(tx, Verb.CREATED, _reference(user), before=None, after=user)
    return user


async def create_user_as_operator(connection: Connection, account_id: UUID, email: str, role: Role) -> User:
    """The same for an operator on the command line, over a connection of the tables' owner."""
    async with operator_transaction(connection, account_id) as tx:
        return await create_user(tx, email, role)


async def set_accounts(tx: Tx, user_id: UUID | None, account_ids: tuple[str, ...]) -> User:
    """Say which accounts a user may enter, which can only be this one: a user belongs to one account here.

    Raises `NotFound`, `Forbidden` for another account, `Invalid` for none, as that is what deleting is for.
    """
    user = await users.get_for_update(tx, user_id)
    if not account_ids:
        message = "A user keeps this account. To take it away, delete the user."
        raise Invalid(message, (Problem("sequenceAccountIds", "tooFew", message),))
    foreign = [position for position, text in enumerate(account_ids) if parse_id(text) != tx.account_id]
    if foreign:
        message = "This key can give access to its own account only."
        problems = tuple(Problem(f"sequenceAccountIds[{position}]", "account", message) for position in foreign)
        raise Forbidden(message, problems)
    return user


async def delete_user(tx: Tx, user_id: UUID | None) -> User:
    """Take access from a user, who is found by nobody from then on. Raises `NotFound`."""
    before = await users.get_for_update(tx, user_id)
    user = rules.delete(before, at=tx.now)
    await users.delete(tx, user)
    await record(tx, Verb.DELETED, _reference(user), before=before, after=user)
    return user


def _reference(user: User) -> Reference:
    return Reference(ObjectType.SEQUENCE_USER, user.id)
