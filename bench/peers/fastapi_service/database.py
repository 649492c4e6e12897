"""The pool of connections, and a session for each request."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

import orjson
from fastapi import Depends, FastAPI, Request
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.schema import CreateSchema

from bench.peers.fastapi_service.tables import SCHEMA, Base


class State(TypedDict):
    """What the requests share."""

    sessions: async_sessionmaker[AsyncSession]


def engine_of(environment: Mapping[str, str]) -> AsyncEngine:
    """The pool that the environment asks for."""
    size = int(environment["PEER_POOL_SIZE"])
    return create_async_engine(
        make_url(environment["PEER_DATABASE_URL"]).set(drivername="postgresql+asyncpg"),
        pool_size=size,
        max_overflow=0,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[State]:
    """Open the pool and make the tables that are not there."""
    engine = engine_of(os.environ)
    async with engine.begin() as connection:
        await connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
        await connection.run_sync(Base.metadata.create_all)
    # What was written is answered after the commit without being read again.
    yield State(sessions=async_sessionmaker(engine, expire_on_commit=False))
    await engine.dispose()


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]
