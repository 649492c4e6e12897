"""What PostgreSQL did to answer a statement."""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg


class Watched:
    """A connection that keeps the plan of every statement, with what came of it."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self.plans: list[dict[str, Any]] = []

    async def fetch(self, text: str, *parameters: object) -> list[Any]:
        await self._explain(text, parameters)
        return list(await self._connection.fetch(text, *parameters))

    async def fetchval(self, text: str, *parameters: object) -> Any:  # noqa: ANN401 - a column of any type
        await self._explain(text, parameters)
        return await self._connection.fetchval(text, *parameters)

    async def fetchrow(self, text: str, *parameters: object) -> Any:  # noqa: ANN401 - asyncpg's record
        await self._explain(text, parameters)
        return await self._connection.fetchrow(text, *parameters)

    async def _explain(self, text: str, parameters: tuple[object, ...]) -> None:
        plan = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", *parameters)
        self.plans.append(json.loads(plan)[0]["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """This node of a plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
