"""Bodies on their way in: those that come too slowly, end too early or are too many at once, and what is left over."""

import asyncio
from collections.abc import Iterable, MutableMapping
from typing import Any

import pytest

from customary.api.intake import SMALL_BYTES, Body, Patience, Room
from customary.errors import Invalid, RequestTimeout, Unavailable

SHORT = 0.02
LONG = 60.0
UNHURRIED = Patience(LONG, LONG)
GONE: MutableMapping[str, Any] = {"type": "http.disconnect"}


def piece(size: int, *, is_last: bool = False) -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": bytes(size), "more_body": not is_last}


class Client:
    """Sends these pieces, each after a pause, and then nothing for ever. `taken` is how many were read."""

    def __init__(self, pieces: Iterable[MutableMapping[str, Any]], *, pause_seconds: float = 0) -> None:
        self.pieces = list(pieces)
        self.taken = 0
        self._pause_seconds = pause_seconds

    async def receive(self) -> MutableMapping[str, Any]:
        await asyncio.sleep(self._pause_seconds if self.taken < len(self.pieces) else LONG)
        self.taken += 1
        return self.pieces[self.taken - 1]


def body_of(
    client: Client,
    *,
    length: int | None = None,
    patience: Patience = UNHURRIED,
    room: Room | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> Body:
    """A body whose length is announced, or that comes in chunks."""
    framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    return Body({"headers": [framing, *headers]}, client.receive, patience, room or Room())


async def read(body: Body) -> int:
    """Read a body to its end; its size."""
    size = 0
    while True:
        message = await body.receive()
        size += len(message["body"])
        if not message["more_body"]:
            return size


async def test_a_body_in_pieces_is_read_whole() -> None:
    body = body_of(Client([piece(10), piece(0), piece(5, is_last=True)]))
    assert await read(body) == 15
    assert await body.settle()


async def test_a_pause_that_is_too_long() -> None:
    body = body_of(Client([piece(10)]), patience=Patience(SHORT, LONG))
    with pytest.raises(RequestTimeout):
        await read(body)
    assert not await body.settle()
    await body.linger()  # does not wait for what will not come


async def test_short_pauses_that_take_too_long_together() -> None:
    client = Client([piece(1)] * 10_000, pause_seconds=SHORT / 4)
    body = body_of(client, patience=Patience(LONG, SHORT * 4))
    with pytest.raises(RequestTimeout):
        await read(body)
    assert client.taken > 1


async def test_a_body_that_ends_too_early() -> None:
    """Its beginning may be JSON that can be read; it is not what the client meant."""
    body = body_of(Client([piece(10), GONE]), length=20)
    with pytest.raises(Invalid) as refused:
        await read(body)
    assert refused.value.problems[0].code == "incomplete"
    assert not await body.settle()


async def test_a_small_body_that_nobody_read_keeps_the_connection() -> None:
    for length in (None, 12):
        client = Client([piece(10), piece(2, is_last=True)])
        assert await body_of(client, length=length).settle()
        assert client.taken == 2


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
async def test_where_no_body_was_announced_none_is_read(headers: list[tuple[bytes, bytes]]) -> None:
    client = Client([])
    body = Body({"headers": headers}, client.receive, UNHURRIED, Room())
    assert await body.settle()
    await body.linger()
    assert client.taken == 0


async def test_a_large_body_that_nobody_read_costs_the_connection_and_can_still_be_sent() -> None:
    client = Client([*[piece(65_536)] * 20, piece(1, is_last=True)])
    body = body_of(client, length=20 * 65_536 + 1)
    assert not await body.settle()
    assert client.taken == 0
    await body.linger()
    assert client.taken == 21


async def test_a_body_without_end_is_read_on_for_a_while_only() -> None:
    client = Client([piece(1024 * 1024)] * 1_000)
    body = body_of(client)
    assert not await body.settle()
    await body.linger()
    assert 1 < client.taken < 100


async def test_a_client_that_waits_to_be_asked_is_not_asked_for_what_nobody_wants() -> None:
    """Reading would make the server send `100 Continue`."""
    client = Client([piece(5, is_last=True)])
    assert not await body_of(client, length=5, headers=[(b"expect", b"100-continue")]).settle()
    assert client.taken == 0


async def test_large_bodies_share_a_room_and_small_ones_need_none() -> None:
    room = Room(100)
    large = body_of(Client([piece(SMALL_BYTES), piece(60), piece(40, is_last=True)]), room=room)
    assert await read(large) == SMALL_BYTES + 100
    with pytest.raises(Unavailable):
        await read(body_of(Client([piece(SMALL_BYTES + 1, is_last=True)]), room=room))
    assert await read(body_of(Client([piece(SMALL_BYTES, is_last=True)]), room=room)) == SMALL_BYTES
    large.release()
    large.release()  # whatever happens at the end, it is given back once
    again = body_of(Client([piece(SMALL_BYTES + 100, is_last=True)]), room=room)
    assert await read(again) == SMALL_BYTES + 100
    with pytest.raises(Unavailable):
        room.take(1)
