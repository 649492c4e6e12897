"""Bodies that come in pieces: the whole is the same wherever it was cut, and never longer than is allowed."""

from collections.abc import MutableMapping
from typing import Any

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target, refused

from customary.api import guard
from customary.api.http import Request
from customary.errors import PayloadTooLarge, UnsupportedMediaType

_TYPES = (
    b"application/json",
    b"Application/JSON; charset=utf-8",
    b'application/json;charset="UTF-8"',
    b"application/merge-patch+json",
    b"application/json; charset=utf-16",
    b"text/plain",
)
_MOST_PIECES = 40


def check(data: bytes) -> None:
    """Send pieces as these bytes say, with the length that they announce."""
    draw = Draw(data)
    media_type = draw.choice((*_TYPES, draw.take(8)))
    declared = draw.choice((None, None, b"1", b"1048577", b"9" * 5000, b"-1", b"1e9", draw.take(4)))
    pieces = [draw.take(draw.byte()) * draw.choice((1, 1, 1, 40, 9000)) for _ in range(draw.number(_MOST_PIECES))]
    whole = b"".join(pieces)
    read = 0
    found: list[bytes] = []

    async def receive() -> MutableMapping[str, Any]:
        nonlocal read
        assert read < max(1, len(pieces)), "it was read on after the end"
        read += 1
        return {"body": pieces[read - 1] if pieces else b"", "more_body": read < len(pieces)}

    headers = {b"content-type": [media_type]}
    if declared is not None:
        headers[b"content-length"] = [declared]
    request = Request("POST", (), b"", headers, receive)
    failure = refused(lambda: found.append(_run(guard.read_body(request))))
    if found:
        assert found == [whole]
        assert len(whole) <= guard.MAXIMUM_BODY_BYTES
        assert media_type.lower().startswith(b"application/json") or media_type.strip().lower() == _TYPES[0]
        return
    assert isinstance(failure, PayloadTooLarge | UnsupportedMediaType)
    if isinstance(failure, PayloadTooLarge) and declared is None:
        assert len(whole) > guard.MAXIMUM_BODY_BYTES
        assert sum(map(len, pieces[: read - 1])) <= guard.MAXIMUM_BODY_BYTES, "it was read on after it was too much"


def _run(reading: Any) -> bytes:  # noqa: ANN401 - a coroutine that waits for nothing
    try:
        reading.send(None)
    except StopIteration as end:
        return end.value
    message = "it waits for something else than the body"
    raise AssertionError(message)


_SEEDS = (
    b"",
    bytes([0]) + b"12345678" + bytes([0]) + b"abcd" + bytes([3, 2]) + b"{}" + bytes([0, 1]) + b"}" + bytes([0, 0, 0]),
    bytes([1]) + b"12345678" + bytes([1]) + b"abcd" + bytes([8]) + (bytes([200]) + b"x" * 200 + bytes([4])) * 8,
    bytes([4]) + b"12345678" + bytes([3]) + b"abcd" + bytes([1, 1]) + b"1" + bytes([0]),
    bytes([0]) + b"12345678" + bytes([4]) + b"abcd" + bytes([1, 1]) + b"1" + bytes([0]),
)
TARGET = Target(name="chunks", check=check, seeds=_SEEDS, words=(b"\xff", b"\x04", b"charset"), quick_runs=700)
