"""A server process starts on a database that is on its way back: it waits, and never serves without one."""

from collections.abc import MutableMapping
from typing import Any, TypeAlias

import asyncpg
import pytest
from tests.support.cluster import Database
from tests.support.keys import KEYS

from customary import app as module
from customary.app import Application
from customary.storage.database import Database as Pool

Anything: TypeAlias = Any  # an argument that is passed on as it is

COMPLETE, FAILED = "lifespan.startup.complete", "lifespan.startup.failed"
# What a driver says when a connection breaks in the midst of its being made, one of which is a defect of the driver.
BREAKING = (
    ConnectionResetError(),
    TimeoutError(),
    asyncpg.CannotConnectNowError(),
    asyncpg.InterfaceError("the connection is closed"),
    asyncpg.InternalClientError("got result for unknown protocol state"),
    AttributeError("'NoneType' object has no attribute 'decode'"),
)


async def started(app: Application) -> str:
    """What the application says to the server of its start."""
    asked: list[MutableMapping[str, Any]] = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    said: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return asked.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return said[0]


@pytest.mark.parametrize("error", BREAKING, ids=lambda error: type(error).__name__)
async def test_it_waits_for_a_database_that_breaks_off(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """However the first connections fail, the process starts as soon as one does not."""
    real, left = Pool.open, [error, error]

    async def breaking(*arguments: Anything, **more: Anything) -> Pool:
        if left:
            raise left.pop()
        return await real(*arguments, **more)

    monkeypatch.setattr(Pool, "open", breaking)
    monkeypatch.setattr(module, "_STARTUP_PAUSE_SECONDS", 0.001)
    assert await started(Application(database.service_url, 1, keys=KEYS)) == COMPLETE


@pytest.mark.parametrize("error", BREAKING, ids=lambda error: type(error).__name__)
async def test_it_does_not_start_without_a_database(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It says that it has failed and lets no exception out, which the server would take for no need of a start."""

    async def breaking(*_arguments: Anything, **_more: Anything) -> Pool:
        raise error

    monkeypatch.setattr(Pool, "open", breaking)
    monkeypatch.setattr(module, "_STARTUP_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "STARTUP_TIMEOUT_SECONDS", 0.01)
    assert await started(Application("postgresql://127.0.0.1:1/none", 1, keys=KEYS)) == FAILED
