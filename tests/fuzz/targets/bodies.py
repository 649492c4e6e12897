"""Bodies of requests: what is read is just the JSON that stands there, and all else is refused in one sentence."""

from tests.fuzz.targets import strict_json
from tests.fuzz.targets.target import Target, refused

from customary.api.guard import parse_json
from customary.errors import Invalid

_SEEDS = (
    b"",
    b"{}",
    b' {"legalName": "Acme", "address": {"line1": "1", "country": "DE"}, "contacts": [{"a": 1}, null, true]}\n',
    b'["\\u00e9\\ud83d\\ude00\\n", "\\\\u0000", "a\\"[{", -0.5e-3, -0, 1e5, 12345678901234567890]',
    b"[1E400]",
    b'{"a": ["x\\u0000"]}',
    b'{"a": {"\\u0000": 1}}',
    b"[" * 64 + b"]" * 64,
    b'{"a":' * 65 + b"1" + b"}" * 65,
    b'{"a": 1, "\\u0061": 2}',
    b'"\\ud800"',
    b'"\xed\xa0\x80\xc0\x80"',
    b"\xef\xbb\xbf{}",
    b"[" * 65 + b'"' + b'\\"' * 40,
    "{'ü': 'ß', \"\u2028\": \"\ufeff\"}".encode(),
)
_WORDS = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"\\u0000", b"\\ud83d", b"\\ude00", b"true", b"false", b"null"),
    *(b"-", b"0", b"1e5", b"NaN", b"Infinity", b'{"a":', b"[[[[[[[[", b"\xff", b"\xe2\x80\xa8", b"\0", b"9" * 25),
)


def check(data: bytes) -> None:
    """Hold what the service makes of these bytes against JSON written down once more."""
    found: list[object] = []
    failure = refused(lambda: found.append(parse_json(data)))
    try:
        expected = strict_json.parse(data)
    except strict_json.Unclear:
        return
    except strict_json.Refused:
        assert isinstance(failure, Invalid), f"this is no JSON that may be read, and was read as {found!r:.200}"
        assert len(failure.problems) == 1
        return
    assert failure is None, f"this is JSON and was refused: {failure}"
    assert _typed(found[0]) == _typed(expected)


def _typed(value: object) -> object:
    """The value so that 1, 1.0 and true differ from each other."""
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value), value


TARGET = Target(name="bodies", check=check, seeds=_SEEDS, words=_WORDS, quick_runs=2500)
