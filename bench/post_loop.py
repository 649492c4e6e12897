"""What deliveries are measured against: aiohttp sends one POST after another, and nothing else is done.

    python -m bench.post_loop SECONDS AT_ONCE URL...

One process, one session that keeps its connections, so many requests at once over all of the addresses in turn. The
body comes by standard input. Prints how many were answered in a second; an answer that is no success ends it.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from itertools import cycle

import aiohttp
import uvloop

_HEADERS = {"Content-Type": "application/json"}
_WARM_UP_SECONDS = 0.5


def rate(urls: Sequence[str], body: bytes, *, at_once: int, seconds: float) -> float:
    """POSTs a second of a process of its own, sending this body to these for so long."""
    command = [sys.executable, "-m", "bench.post_loop", str(seconds), str(at_once), *urls]
    ran = subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True)  # noqa: S603 - the arguments are ours
    return json.loads(ran.stdout)


async def _post_all(urls: Sequence[str], body: bytes, *, at_once: int, seconds: float) -> float:
    """Answers a second, behind a beginning that does not count."""
    begin = time.monotonic() + _WARM_UP_SECONDS
    end, answered, turns = begin + seconds, 0, cycle(urls)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post() -> None:
            nonlocal answered
            while (now := time.monotonic()) < end:
                async with session.post(next(turns), data=body, headers=_HEADERS) as response:
                    await response.read()
                if response.status != HTTPStatus.OK:
                    message = f"The receiver answered {response.status}."
                    raise SystemExit(message)
                answered += now >= begin

        await asyncio.gather(*(post() for _ in range(at_once)))
    return answered / (time.monotonic() - begin)


if __name__ == "__main__":
    found = uvloop.run(
        _post_all(sys.argv[3:], sys.stdin.buffer.read(), at_once=int(sys.argv[2]), seconds=float(sys.argv[1]))
    )
    sys.stdout.write(json.dumps(found))
