"""The statements of one transaction, in their order, with as few round trips as that allows.

What a write adds, and nothing after it looks at, is kept back and sent together as one statement. Whatever is asked of
the connection sends what was kept back first, so nobody sees anything out of order.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

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

    def later(self, text: str, *parameters: object, told: Told | None = None) -> None:
        """Send this statement with the next one, or at the end of the transaction.

        The statements that are sent together see the database as it was before all of them, and not each other: no
        row can be added and changed by them, or changed twice. So this is for rows that are new. `told` gets what the
        statement returned, the values of its column `value`, once all of them are done; it may ask for more, and raise
        what undoes the transaction.
        """
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


@lru_cache(maxsize=256)  # there are as many as there are kinds of writes
def _together(texts: tuple[str, ...], told: tuple[int, ...]) -> str:
    """One statement that does all of these, and answers one row with the values that those in `told` returned."""
    numbered, count = list[str](), 0
    for number, text in enumerate(texts):
        shifted = _PARAMETER.sub(lambda found, before=count: f"${int(found[1]) + before}", text)
        numbered.append(f"kept_{number} AS ({shifted})")
        count += max((int(each) for each in _PARAMETER.findall(text)), default=0)
    answer = ", ".join(f"ARRAY(SELECT value FROM kept_{number})" for number in told)  # noqa: S608 - numbers
    return f"WITH {', '.join(numbered)} SELECT {answer}"
