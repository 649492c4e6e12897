"""What a failure of the database means, to who asked and to the connections: the one table.

It is looked up by the kind of the error, then by the kinds that this one is one of, so an exception to a rule stands
beside the rule.
"""

from enum import Enum, auto

import asyncpg

from customary.errors import Conflict, Contended, Failure, Unavailable
from customary.storage import sessions


class Meaning(Enum):
    """What to do about a failure."""

    AGAIN = auto()
    """Undone as a whole, and worth running again at once."""
    REFUSED = auto()
    """The data contradict what is stored; another try would be refused as well."""
    LATER = auto()
    """It passes by itself; the connection is as good as before."""
    LOST = auto()
    """This connection is over, or nobody knows what it still waits for."""
    GONE = auto()
    """The server went away or changed its part: the connections that are as old as this one are no better."""


MEANINGS: dict[type[BaseException], Meaning] = {
    asyncpg.DeadlockDetectedError: Meaning.AGAIN,
    asyncpg.SerializationError: Meaning.AGAIN,
    asyncpg.InvalidCachedStatementError: Meaning.AGAIN,
    asyncpg.OutdatedSchemaCacheError: Meaning.AGAIN,
    asyncpg.IntegrityConstraintViolationError: Meaning.REFUSED,
    asyncpg.LockNotAvailableError: Meaning.LATER,
    asyncpg.QueryCanceledError: Meaning.LATER,
    asyncpg.InsufficientResourcesError: Meaning.LATER,  # disk, memory, connections
    asyncpg.PostgresSystemError: Meaning.LATER,
    asyncpg.InvalidAuthorizationSpecificationError: Meaning.LATER,  # passwords and databases come and go while we run
    asyncpg.InvalidCatalogNameError: Meaning.LATER,
    asyncpg.IdleInTransactionSessionTimeoutError: Meaning.LOST,
    asyncpg.TransactionTimeoutError: Meaning.LOST,
    TimeoutError: Meaning.LOST,
    sessions.Elsewhere: Meaning.LOST,
    # What was prepared is not there, or something else is: a pooler let another session answer.
    asyncpg.InvalidSQLStatementNameError: Meaning.LOST,
    asyncpg.DuplicatePreparedStatementError: Meaning.LOST,
    asyncpg.OperatorInterventionError: Meaning.GONE,  # shut down, crashed, not ready yet
    asyncpg.ReadOnlySQLTransactionError: Meaning.GONE,
    asyncpg.PostgresConnectionError: Meaning.GONE,
    asyncpg.InterfaceError: Meaning.GONE,
    asyncpg.InternalClientError: Meaning.GONE,  # the end of a server can meet the driver between two statements
    OSError: Meaning.GONE,
}

# What a driver raises. Everything else passes through untouched: it is the failure of who uses the connection.
OF_DATABASE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

# The one place where the name of a constraint becomes something that a person can act on.
_CONSTRAINTS = {
    "customer_aliases_value_key": "An alias of this request was taken by another customer a moment ago.",
    "contacts_email_key": "Another contact of this customer has the same e-mail address.",
    "organizations_owner_id_key": "This customer got an organisation a moment ago. Try again.",
    "payment_settings_customer_id_key": "This customer got payment settings a moment ago.",
    "accounts_name_key": "An account with this name exists already.",
}
_CONTENDED = "Another request was changing the same things. Try again in a moment."
_UNAVAILABLE = "The database cannot answer right now. Try again in a moment."
IN_DOUBT = (
    "The database did not confirm this in time: it may or may not have been done. Under an Idempotency-Key send it"
    " again, which does it at most once; otherwise look before you send it again."
)


def meaning_of(error: BaseException) -> Meaning | None:
    """What this failure means; None for one that only a defect of ours explains, and for what is none of ours."""
    return next((MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS), None)


def failure_of(error: Exception, *, is_committing: bool = False) -> Failure | None:
    """What a caller gets to hear of it; None for a failure that only a defect of ours explains.

    A commit that has no answer may be a commit all the same.
    """
    match meaning_of(error):
        case Meaning.AGAIN:
            return Contended(_CONTENDED)
        case Meaning.REFUSED:
            message = _CONSTRAINTS.get(str(getattr(error, "constraint_name", None)))
            return None if message is None else Conflict(message)
        case Meaning.LATER:
            return Unavailable(_UNAVAILABLE)
        case Meaning.LOST | Meaning.GONE:
            return Unavailable(IN_DOUBT if is_committing else _UNAVAILABLE)
        case None:
            return None
