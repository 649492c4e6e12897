"""Basic authentication with an API key. A key that was right is not looked up again for a while."""

import hashlib
import hmac
import time
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, status
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from bench.peers.fastapi_service.database import Session
from bench.peers.fastapi_service.tables import ApiKey

_REMEMBERED_SECONDS = 30.0
_MOST_REMEMBERED = 10_000
_basic = HTTPBasic()
_remembered: dict[tuple[str, bytes], tuple[UUID, float]] = {}


async def _account_id(given: Annotated[HTTPBasicCredentials, Depends(_basic)], session: Session) -> UUID:
    """The account whose key the request has; 401 without one."""
    presented = (given.username, hashlib.sha256(given.password.encode()).digest())
    known = _remembered.get(presented)
    if known is not None and known[1] > time.monotonic():
        return known[0]
    key = await session.get(ApiKey, given.username)
    if key is None or not hmac.compare_digest(key.secret_hash, presented[1]):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "This key is not valid.", {"WWW-Authenticate": "Basic"})
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[presented] = key.account_id, time.monotonic() + _REMEMBERED_SECONDS
    return key.account_id


AccountId = Annotated[UUID, Depends(_account_id)]
