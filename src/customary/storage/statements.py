"""The statements of one transaction, in their order, with as few round trips as that allows.

What a write adds, and nothing after it looks at, is kept back and sent together as one statement. Whatever is asked of
the connection sends what was kept back first, so nobody sees anything out of order.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from customary.storage.connections import Connection, Record

_PARAMETER = re.compile(r"\$(\d+)")


class Statements:
    """A connection in a transaction. It is asked like one."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is kept back yet."""
        self._connection = connection
        self._texts: list[str] = []
        self._parameters: list[object] = []

    def later(self, text: str, *parameters: object) -> None:
        """Send this statement with the next one, or at the end of the transaction. It answers nothing.

        The statements that are sent together see the database as it was before all of them, and not each other: no
        row can be added and changed by them, or changed twice. So this is for rows that are new.
        """
        self._texts.append(text)
        self._parameters.extend(parameters)

    async def flush(self) -> None:
        """Send what was kept back."""
        if self._texts:
            await self.fetch_with_kept(_NOTHING)

    async def fetch_with_kept(self, text: str, *parameters: object) -> list[Record]:
        """The rows of a statement that is sent together with what was kept back, and sees nothing of it."""
        texts, given = (*self._texts, text), (*self._parameters, *parameters)
        self._texts.clear()
        self._parameters.clear()
        return await self._connection.fetch(_together(texts), *given)

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


_NOTHING = "SELECT"


@lru_cache(maxsize=256)  # there are as many as there are kinds of writes
def _together(texts: tuple[str, ...]) -> str:
    """One statement that does all of these and answers what the last one does."""
    numbered, count = list[str](), 0
    for text in texts:
        numbered.append(_PARAMETER.sub(lambda found, before=count: f"${int(found[1]) + before}", text))
        count += max((int(number) for number in _PARAMETER.findall(text)), default=0)
    *kept, last = numbered
    if not kept:
        return last
    return f"WITH {', '.join(f'kept_{number} AS ({text})' for number, text in enumerate(kept))} {last}"
