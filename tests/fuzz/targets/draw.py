"""Takes values out of the bytes of one input, so that a change of a byte is a change of one value."""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Draw:
    """Reads one input from its front; one that is used up gives noughts and empty texts."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return self._position >= len(self._data)

    def byte(self) -> int:
        """The next byte."""
        taken = self.take(1)
        return taken[0] if taken else 0

    def number(self, most: int) -> int:
        """A number from 0 to `most`."""
        size = (most.bit_length() + 7) // 8
        return int.from_bytes(self.take(size)) % (most + 1)

    def one_in(self, number: int) -> bool:
        """Whether this is one of so many, at most 256; never for a small byte or once the input is used up."""
        return self.byte() > 255 - 256 // number

    def choice(self, items: Sequence[Item]) -> Item:
        """One of these."""
        return items[self.number(len(items) - 1)]

    def take(self, size: int) -> bytes:
        """The next so many bytes, fewer at the end."""
        taken = self._data[self._position : self._position + size]
        self._position += size
        return taken

    def text(self, most: int = 255) -> str:
        """A text of at most so many bytes in UTF-8; a byte says how long it is."""
        return self.take(min(self.byte(), most)).decode("utf-8", "ignore")

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))
