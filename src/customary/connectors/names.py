"""Names of machines, looked up in threads of our own: a slow name takes one of them, and nothing else waits for it."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

CAPACITY = 32
# A name with more addresses is no likelier to be reached at one of the others, and each costs a connection.
_MOST_ADDRESSES = 8
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Names(AbstractResolver):
    """Looks names up as the machine does, at most `capacity` at a time, and remembers nothing.

    The library call cannot be interrupted. So a look-up goes on when nobody waits for it any more, and whoever asks for
    the same name meanwhile shares it: a name that is never answered occupies one thread, however often it is asked for.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._threads = ThreadPoolExecutor(capacity, thread_name_prefix="names")
        self._free = asyncio.Semaphore(capacity)
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name, of all families. Raises `OSError` for a name that has none."""
        del family  # A connector that wants one family passes over the others.
        if host not in self._running:
            # Whoever gives up here, in the queue, leaves it: there is no look-up yet that would have to be waited for.
            await self._free.acquire()
            self._start(host)
        addresses = await asyncio.shield(self._running[host])
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=_NUMERIC,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Stop; a look-up that runs ends by itself and is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, host: str) -> None:
        """Look this name up with the thread that was got, unless somebody has begun to meanwhile."""
        if host in self._running:
            self._free.release()
            return
        running = asyncio.get_running_loop().run_in_executor(self._threads, _addresses_of, host)
        self._running[host] = running
        running.add_done_callback(lambda done: self._end(host, done))

    def _end(self, host: str, done: asyncio.Future[list[str]]) -> None:
        del self._running[host]
        self._free.release()
        if not done.cancelled():
            # Nobody may be left who would hear of it.
            done.exception()


def _addresses_of(host: str) -> list[str]:
    """The first addresses of a name, each once. Bytes, so that Python does not translate the name once more."""
    found = socket.getaddrinfo(host.encode("ascii", "replace"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))[:_MOST_ADDRESSES]
