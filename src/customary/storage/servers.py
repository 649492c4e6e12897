"""Which of the servers that a database URL names is connected to: the one that takes writes now."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

Connection: TypeAlias = Any  # asyncpg's Connection, or what `options` say it shall be


async def connect(url: str, **options: Any) -> Connection:  # noqa: ANN401 - the driver's own options
    """A connection to the server that takes writes. Raises what the driver raises.

    All are tried at once: one that is silent, as a machine that is gone, holds nobody up.
    """
    return await _first([_open(each, options) for each in _each_server(url)])


async def _open(url: str, options: dict[str, Any]) -> Connection:
    try:
        return await asyncpg.connect(url, target_session_attrs=SessionAttribute.read_write, **options)
    except AttributeError as error:  # the driver's own, of a connection that ended while it was being made
        raise asyncpg.InternalClientError("the connection ended while it was being made") from error


def _each_server(url: str) -> list[str]:
    """The URL of each server that a URL names: its hosts, separated by commas."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return [urlunsplit(parts._replace(netloc=f"{login}{at}{host}")) for host in hosts.split(",")]


async def _first(openings: list[Coroutine[Any, Any, Connection]]) -> Connection:
    """The first connection that opens; the others are closed. Where none does, raises the failure that says most."""
    if len(openings) == 1:
        return await openings[0]
    tasks = [asyncio.ensure_future(opening) for opening in openings]
    pending, chosen = set(tasks), None
    try:
        while pending and chosen is None:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            chosen = next((task.result() for task in done if task.exception() is None), None)
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(partial(_close_unless, chosen))
    if chosen is None:
        raise min((error for task in tasks if (error := task.exception())), key=_says_little)
    return chosen


def _close_unless(chosen: Connection | None, task: "asyncio.Task[Connection]") -> None:
    if not task.cancelled() and task.exception() is None and task.result() is not chosen:
        task.result().terminate()


def _says_little(error: BaseException) -> int:
    """A server that answers and takes no writes says more than one that starts, and that more than none."""
    kinds = (asyncpg.TargetServerAttributeNotMatched, asyncpg.CannotConnectNowError, asyncpg.PostgresError)
    return next((place for place, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))
