"""The statements of one transaction, in their order, with as few round trips as that allows.

What a write adds, and nothing after it looks at, is kept back and sent together as one statement. Whatever is asked of
the connection sends what was kept back first, so nobody sees anything out of order.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Never, TypeAlias

import asyncpg

from customary.storage.connections import Connection, Record

Told: TypeAlias = Callable[[list[Any]], Awaitable[None]]

_PARAMETER = re.compile(r"\$(\d+)")


class Statements:
    """A connection in a transaction. It is asked like one."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is kept back yet."""
        self._connection = connection
        self._texts: list[str] = []
        self._parameters: list[object] = []
        self._told: list[tuple[int, Told]] = []

    def later(self, text: str, *parameters: object, told: Told | None = None, expected: int | None = None) -> None:
        """Send this statement with the next one, or at the end of the transaction.

        The statements that are sent together see the database as it was before all of them, and not each other: no
        row can be added and changed by them, or changed twice. So this is for rows that are new. `told` gets what the
        statement returned, the values of its column `value`, once all of them are done; it may ask for more, and raise
        what undoes the transaction. As many as `expected` are fine with it whatever they are: see `Additions`.
        """
        del expected
        if told is not None:
            self._told.append((len(self._texts), told))
        self._texts.append(text)
        self._parameters.extend(parameters)

    async def flush(self) -> None:
        """Send what was kept back. Raises what those raise who are told what came of it."""
        while self._texts:
            texts, given, told = tuple(self._texts), tuple(self._parameters), tuple(self._told)
            for kept in (self._texts, self._parameters, self._told):
                kept.clear()
            [row] = await self._connection.fetch(_together(texts, tuple(number for number, _ in told)), *given)
            for values, (_, tell) in zip(row, told, strict=True):
                await tell(values)

    async def fetch(self, text: str, *parameters: object) -> list[Record]:
        """The rows of a statement."""
        await self.flush()
        return await self._connection.fetch(text, *parameters)

    async def fetchrow(self, text: str, *parameters: object) -> Record:
        """The first row of a statement; None where there is none."""
        await self.flush()
        return await self._connection.fetchrow(text, *parameters)

    async def fetchval(self, text: str, *parameters: object) -> Any:  # noqa: ANN401 - what the statement answers
        """The first value of the first row of a statement."""
        await self.flush()
        return await self._connection.fetchval(text, *parameters)

    async def execute(self, text: str, *parameters: object) -> str:
        """Carry out a statement whose rows nobody wants; PostgreSQL's tag of it, such as `UPDATE 1`."""
        await self.flush()
        return await self._connection.execute(text, *parameters)

    async def copy_records_to_table(
        self, table: str, *, records: Iterable[Sequence[object]], columns: Sequence[str], **options: object
    ) -> None:
        """Add many rows by COPY, as asyncpg's function of this name does."""
        await self.flush()
        await self._connection.copy_records_to_table(table, records=records, columns=columns, **options)


class NotAdded(Exception):
    """What was to be added by one statement has to be done by a transaction of several. Nothing was changed.

    `is_of_database` says that the database was asked, and undid it.
    """

    def __init__(self, *, is_of_database: bool = False) -> None:
        super().__init__()
        self.is_of_database = is_of_database


class Additions:
    """What a write adds that asks for nothing: one statement, which is a transaction by itself.

    It stands for `Statements`. Whoever asks it for more than to send something later gets `NotAdded`.
    """

    def __init__(self) -> None:
        """Nothing is added yet."""
        self._texts: list[str] = []
        self._parameters: list[object] = []
        self._expected: list[tuple[int, int]] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._texts

    def later(self, text: str, *parameters: object, told: Told | None = None, expected: int | None = None) -> None:
        """Send this with all the rest. Nobody can be told in time, so it returns what is `expected` or all is undone.

        Raises `NotAdded` where somebody is to be told whatever it returns.
        """
        if told is not None and expected is None:
            raise NotAdded
        if expected is not None:
            self._expected.append((len(self._texts), expected))
        self._texts.append(text)
        self._parameters.extend(parameters)

    async def send(self, connection: Connection) -> None:
        """Do it, outside any transaction. Raises what the driver raises, and `NotAdded`; then it is undone."""
        if self.is_empty:
            return
        try:
            await connection.fetch(_alone(tuple(self._texts), tuple(self._expected)), *self._parameters)
        except asyncpg.DivisionByZeroError:
            raise NotAdded from None  # it says that something did not come out as expected

    def __getattr__(self, _name: str) -> Never:
        raise NotAdded


@lru_cache(maxsize=256)  # there are as many as there are kinds of writes
def _together(texts: tuple[str, ...], told: tuple[int, ...]) -> str:
    """One statement that does all of these, and answers one row with the values that those in `told` returned."""
    return f"{_kept(texts)} SELECT {', '.join(map(_values, told))}"


@lru_cache(maxsize=256)
def _alone(texts: tuple[str, ...], expected: tuple[tuple[int, int], ...]) -> str:
    """One statement that does all of these, or fails where one in `expected` returns another number of values.

    What was added last is looked at first, and nothing else is done where it is not as expected: so whoever has to have
    a lock comes last, and nobody waits for rows of another one who has it.
    A constraint would make it fail as well, and PostgreSQL would log the values that broke it.
    """
    conditions = [f"cardinality({_values(number)}) = {count}" for number, count in reversed(expected)]
    return f"{_kept(texts)} SELECT 1 / ({' AND '.join(conditions) or 'true'})::int"


def _values(number: int) -> str:
    return f"ARRAY(SELECT value FROM kept_{number})"  # noqa: S608 - a number


def _kept(texts: tuple[str, ...]) -> str:
    """These statements as parts of one, each with its own parameters behind those of the ones before."""
    numbered, count = list[str](), 0
    for number, text in enumerate(texts):
        shifted = _PARAMETER.sub(lambda found, before=count: f"${int(found[1]) + before}", text)
        numbered.append(f"kept_{number} AS ({shifted})")
        count += max((int(each) for each in _PARAMETER.findall(text)), default=0)
    return f"WITH {', '.join(numbered)}"
