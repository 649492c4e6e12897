"""Ids that grow with time: UUIDs of version 7 (RFC 9562), by the standard library where it makes them.

From the front they have 48 bits of milliseconds, a counter of 28 and 46 random bits (section 6.2, method 1). With each
millisecond the counter begins anew somewhere far from its end, and what is made in the same one takes its next values:
so the ids of a process are in the order in which they were made, also while its clock goes backwards.
"""

import os
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from uuid import UUID, SafeUUID

_VERSION, _VARIANT = 0b0111, 0b10
_RANDOM_MASK = (1 << 46) - 1
_LARGEST_COUNTER = (1 << 28) - 1
_SEED_SHIFT = 64 - 17  # of the 64 bits that are drawn for an id, what its random bits leave over
_DRAWN = struct.Struct("=256Q")  # asking the kernel for random bytes costs as much as all the rest: many at once

_new = UUID.__new__
_set = object.__setattr__


class Maker:
    """Makes ids, for any number of threads. `clock` tells nanoseconds since 1970, `randomness` so many random bytes."""

    def __init__(
        self, clock: Callable[[], int] = time.time_ns, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._milliseconds = 0
        self._counter = 0
        self.begin_process()

    def begin_process(self) -> None:
        """Draw new randomness, and have a lock that nobody holds: what a forked process needs first.

        What its parent drew is the parent's, whose ids it would repeat.
        """
        self._lock = threading.Lock()
        self._drawn: Iterator[int] = iter(())

    def __call__(self) -> UUID:
        """An id above all that this maker made before."""
        # As the standard library's own makers do: the constructor would spend half of the time on looking at its input.
        made = _new(UUID)
        _set(made, "int", self._next())
        _set(made, "is_safe", SafeUUID.unknown)
        return made

    def text(self) -> str:
        """The same as text, in less time than an id takes to be made and then written."""
        digits = f"{self._next():032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _next(self) -> int:
        with self._lock:
            now = self._clock() // 1_000_000
            drawn = next(self._drawn, None)
            if drawn is None:
                drawn = self._draw()
            if now > self._milliseconds:
                self._milliseconds, self._counter = now, drawn >> _SEED_SHIFT
            elif self._counter < _LARGEST_COUNTER:
                self._counter += 1
            else:  # then it runs a little ahead of the clock
                self._milliseconds, self._counter = self._milliseconds + 1, drawn >> _SEED_SHIFT
            counter = self._counter
            return (
                self._milliseconds << 80
                | (_VERSION << 12 | counter >> 16) << 64
                | (_VARIANT << 16 | counter & 0xFFFF) << 46
                | drawn & _RANDOM_MASK
            )

    def _draw(self) -> int:
        self._drawn = iter(_DRAWN.unpack(self._randomness(_DRAWN.size)))
        return next(self._drawn)


_maker = Maker()
os.register_at_fork(after_in_child=_maker.begin_process)
uuid7: Callable[[], UUID] = getattr(uuid, "uuid7", _maker)
uuid7_text: Callable[[], str] = _maker.text
