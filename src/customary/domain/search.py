"""How text is folded so that a search finds `Universite` in `Université`, whatever the database's locale."""

import unicodedata

# Letters that Unicode does not take apart into a base letter and a mark, yet people type without the stroke.
_STROKES = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th"}
)


def fold(text: str) -> str:
    """This text without case and accents: what a search compares."""
    # Taken apart first as well: `℡` has no lower case, but the letters that it stands for have one.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character)).translate(_STROKES)


def contains_pattern(text: str) -> str:
    """The LIKE pattern that finds this text anywhere, its own wildcards taken literally."""
    escaped = fold(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
