"""JSON as RFC 8259 has it and this service takes it, written down once more: what the service reads is held against it.

Nothing here is shared with the parsers that the service uses.
"""

import math
import re
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_DEEPEST = 64
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
# Longer ones are nobody's amount or count; parsers differ on where they stop.
MOST_DIGITS = 300


class Refused(Exception):
    """The text is not what the service reads."""


class Unclear(Exception):
    """The text has a number that one parser may read and another one refuse."""


def parse(body: bytes) -> Json:
    """The value in these bytes. Raises `Refused`, or `Unclear` where nobody has laid down what to do."""
    try:
        reader = _Reader(body.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise Refused from None
    reader.skip_space()
    value = reader.value(1)
    reader.skip_space()
    if reader.at < len(reader.text):
        raise Refused
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip_space(self) -> None:
        while self._next() in {" ", "\t", "\n", "\r"}:
            self.at += 1

    def value(self, depth: int) -> Json:
        character = self._next()
        if character in {"{", "["}:
            if depth > _DEEPEST:
                raise Refused
            self.at += 1
            return self._object(depth) if character == "{" else self._array(depth)
        if character == '"':
            return self._string()
        for word, literal in _LITERALS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return literal
        return self._number()

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, wanted: str) -> None:
        if self._next() != wanted:
            raise Refused
        self.at += 1

    def _goes_on(self, end: str) -> bool:
        """Whether another member follows, behind a comma; the end of the collection is taken."""
        self.skip_space()
        if self._next() == end:
            self.at += 1
            return False
        self._take(",")
        self.skip_space()
        return True

    def _array(self, depth: int) -> Json:
        items: list[Json] = []
        self.skip_space()
        if self._next() == "]":
            self.at += 1
            return items
        items.append(self.value(depth + 1))
        while self._goes_on("]"):
            items.append(self.value(depth + 1))
        return items

    def _object(self, depth: int) -> Json:
        members: dict[str, Json] = {}
        self.skip_space()
        if self._next() == "}":
            self.at += 1
            return members
        self._member(members, depth)
        while self._goes_on("}"):
            self._member(members, depth)
        return members

    def _member(self, members: dict[str, Json], depth: int) -> None:
        name = self._string()
        self.skip_space()
        self._take(":")
        self.skip_space()
        if name in members:
            raise Refused
        members[name] = self.value(depth + 1)

    def _string(self) -> str:
        self._take('"')
        units: list[str] = []
        while (character := self._next()) != '"':
            self.at += 1
            if not character or character < " ":
                raise Refused
            units.append(self._escape() if character == "\\" else character)
        self.at += 1
        try:
            # Pairs of surrogates become characters; half of one is left over and is none.
            text = "".join(units).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise Refused from None
        if "\0" in text:
            raise Refused
        return text

    def _escape(self) -> str:
        character = self._next()
        self.at += 1
        if character in _ESCAPES:
            return _ESCAPES[character]
        digits = _HEX.match(self.text, self.at)
        if character != "u" or digits is None:
            raise Refused
        self.at += 4
        return chr(int(digits[0], 16))

    def _number(self) -> int | float:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            raise Refused
        self.at = found.end()
        if len(found[0]) > MOST_DIGITS:
            raise Unclear
        if found[1] is None and found[2] is None:
            return int(found[0])
        number = float(found[0])
        if math.isinf(number):
            raise Refused
        return number
