"""Making accounts, for an operator on the command line."""

import asyncpg

from customary.domain.account import Account
from customary.errors import Conflict, Invalid, SetupError
from customary.storage import accounts
from customary.storage.database import Connection
from customary.uuid7 import uuid7

_MAXIMUM_NAME_LENGTH = 255


async def create_account(connection: Connection, name: str) -> Account:
    """Make a tenant. Raises `Invalid` for an empty or too long name, `Conflict` for a name that is taken."""
    if not name.strip() or len(name) > _MAXIMUM_NAME_LENGTH:
        message = f"An account needs a name of 1 to {_MAXIMUM_NAME_LENGTH} characters."
        raise Invalid(message)
    try:
        return await accounts.create(connection, uuid7(), name)
    except asyncpg.UniqueViolationError:
        message = f"There is an account named '{name}' already."
        raise Conflict(message) from None


async def find_account(owner: Connection, name_or_id: str) -> Account:
    """The account with this name or id. Raises `SetupError`, saying where to look, where there is none."""
    found = await accounts.get(owner, name_or_id)
    if found is None:
        message = f"There is no account '{name_or_id}'. See: customary accounts list"
        raise SetupError(message)
    return found
