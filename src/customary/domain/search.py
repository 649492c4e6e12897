"""How text is folded so that a search finds `Universite` in `Université`, whatever the database's locale."""

import re
import string
import unicodedata
from collections.abc import Iterable

# Letters that Unicode does not take apart into a base letter and a mark, yet people type without the stroke.
_STROKES = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th"}
)

_DIGITS = string.digits + string.ascii_lowercase
_TRIGRAM = re.compile("[0-9a-z]{3}")


def fold(text: str) -> str:
    """This text without case and accents: what a search compares."""
    if text.isascii():  # which has no accents, and costs a twentieth
        return text.lower()
    # Taken apart first as well: `℡` has no lower case, but the letters that it stands for have one.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character)).translate(_STROKES)


def contains_pattern(text: str) -> str:
    """The LIKE pattern that finds this text anywhere, its own wildcards taken literally."""
    return _anywhere(fold(text))


def words(text: str) -> tuple[str, ...]:
    """The folded words of a text, each once, without those that are part of another: that one implies them."""
    every = dict.fromkeys(fold(text).split())
    return tuple(word for word in every if not any(word in other for other in every if other != word))


def document(texts: Iterable[str]) -> str:
    """What a one-box search looks through: each text folded, on a line of its own between line breaks."""
    return "\n".join(["", *dict.fromkeys(map(_line, texts)), ""])


def exactly(text: str) -> str:
    """What a document holds that has this text for one of its lines."""
    return f"\n{_line(text)}\n"


def at_start(text: str) -> str:
    """What a document holds one of whose lines begins with this text."""
    return f"\n{_line(text)}"


def word_pattern(word: str) -> str:
    """The LIKE pattern that finds a folded word anywhere in a document."""
    return _anywhere(word)


def index_key(folded: str) -> str:
    """A folded text in ASCII, for an index of trigrams: PostgreSQL sees letters beyond it in some locales only.

    Every other character becomes two letters or digits, the better distinction of its neighbours first. Some share
    a pair, so what the index finds has to be compared with the document itself.
    """
    if folded.isascii():
        return folded
    return "".join(character if character < "\x80" else _pair(ord(character)) for character in folded)


def index_pattern(word: str) -> str:
    """The LIKE pattern that finds the index key of a folded word in the index key of a document."""
    return _anywhere(index_key(word))


def is_indexed(word: str) -> bool:
    """Whether the index helps to find a folded word: it knows three letters or digits in a row."""
    return _TRIGRAM.search(index_key(word)) is not None


def _line(text: str) -> str:
    return " ".join(fold(text).split())


def _anywhere(folded: str) -> str:
    escaped = folded.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _pair(code: int) -> str:
    return _DIGITS[code % len(_DIGITS)] + _DIGITS[code // len(_DIGITS) % len(_DIGITS)]
