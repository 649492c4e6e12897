"""What a failure of the database means: one of each class, as the driver raises it."""

import asyncpg
import pytest

from customary.errors import Conflict, Contended, Failure, Unavailable
from customary.storage.failures import Meaning, failure_of, meaning_of


def by_code(code: str, **more: str) -> Exception:
    """The error that the driver makes of this SQLSTATE."""
    fields = {"S": "ERROR", "V": "ERROR", "C": code, "M": "what the server says", **more}
    return asyncpg.PostgresError.new(fields)


CASES = (
    ("40001", Meaning.AGAIN, Contended),  # serialization failure
    ("40P01", Meaning.AGAIN, Contended),  # deadlock
    ("55P03", Meaning.LATER, Unavailable),  # lock timeout
    ("57014", Meaning.LATER, Unavailable),  # statement timeout
    ("53100", Meaning.LATER, Unavailable),  # disk full
    ("53200", Meaning.LATER, Unavailable),  # out of memory
    ("53300", Meaning.LATER, Unavailable),  # too many connections
    ("58030", Meaning.LATER, Unavailable),  # input or output failed
    ("28P01", Meaning.LATER, Unavailable),  # the password was changed
    ("3D000", Meaning.LATER, Unavailable),  # the database is being replaced
    ("25P03", Meaning.LOST, Unavailable),  # idle in transaction for too long
    ("25P04", Meaning.LOST, Unavailable),  # a transaction of too long
    ("57P01", Meaning.GONE, Unavailable),  # shut down, or ended by an administrator
    ("57P02", Meaning.GONE, Unavailable),  # crashed
    ("57P03", Meaning.GONE, Unavailable),  # not ready
    ("57P05", Meaning.GONE, Unavailable),  # idle for too long
    ("25006", Meaning.GONE, Unavailable),  # read-only
    ("08000", Meaning.GONE, Unavailable),
    ("08003", Meaning.GONE, Unavailable),
    ("08006", Meaning.GONE, Unavailable),
    ("23505", Meaning.REFUSED, None),  # a constraint that nobody expected to be violated
    ("42P01", None, None),  # no such table
    ("22P02", None, None),  # a malformed value
)


@pytest.mark.parametrize(("code", "meaning", "failure"), CASES, ids=[case[0] for case in CASES])
def test_what_the_server_says(code: str, meaning: Meaning | None, failure: type[Failure] | None) -> None:
    error = by_code(code)
    assert meaning_of(error) is meaning
    assert type(failure_of(error)) is (failure or type(None))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (TimeoutError(), Meaning.LOST),
        (ConnectionResetError(), Meaning.GONE),
        (asyncpg.InterfaceError("connection is closed"), Meaning.GONE),
        (asyncpg.TargetServerAttributeNotMatched("none"), Meaning.GONE),
        (asyncpg.ConnectionDoesNotExistError("in the middle of operation"), Meaning.GONE),
    ],
    ids=lambda given: type(given).__name__,
)
@pytest.mark.parametrize("is_committing", [False, True])
def test_no_answer(error: Exception, meaning: Meaning, *, is_committing: bool) -> None:
    """A commit that has no answer is in doubt; everything else was undone."""
    failure = failure_of(error, is_committing=is_committing)
    assert meaning_of(error) is meaning
    assert isinstance(failure, Unavailable)
    assert ("may or may not" in failure.message) is is_committing


def test_what_is_to_be_prepared_again() -> None:
    """A statement whose plan the schema outran is run again, with the whole transaction."""
    assert isinstance(failure_of(asyncpg.InvalidCachedStatementError("changed")), Contended)
    assert isinstance(failure_of(asyncpg.OutdatedSchemaCacheError("changed")), Contended)


@pytest.mark.parametrize("code", ["40001", "57014", "55P03"])
def test_a_commit_that_was_refused(code: str) -> None:
    """It was undone for sure, and nobody is told to doubt it."""
    failure = failure_of(by_code(code), is_committing=True)
    assert failure is not None
    assert "may or may not" not in failure.message


def test_a_constraint_with_a_sentence() -> None:
    """Two that made the same thing at one moment: the second hears what it is."""
    failure = failure_of(by_code("23505", n="customer_aliases_value_key"))
    assert isinstance(failure, Conflict)
    assert "alias" in failure.message


@pytest.mark.parametrize("error", [ValueError("of somebody else"), Unavailable("of ours"), KeyError()])
def test_what_is_none_of_the_databases(error: Exception) -> None:
    """It passes through, and the connection is as good as before."""
    assert meaning_of(error) is None
    assert failure_of(error) is None
