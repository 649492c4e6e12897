"""The cases whose body is announced in a way that two servers could read differently."""

from collections.abc import Iterator
from typing import Unpack

from tests.faults.framing import NUMBER, Case, Parts, Verdict, chunked

_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def cases(parts: Parts) -> Iterator[Case]:
    """Lengths, codings and chunks."""
    yield from _lengths(parts)
    yield from _codings(parts)
    yield from _chunks(parts)
    yield from _chunk_sizes(parts)
    yield from _broken_chunks(parts)


def _lengths(parts: Parts) -> Iterator[Case]:
    """Content-Length: what it may say, and a request in the body that nobody may ever see."""
    size = len(parts.smuggled)

    def case(name: str, fields: bytes, **verdict: Unpack[Verdict]) -> Case:
        return Case(name=f"length {name}", sent=parts.create + fields + b"\r\n" + parts.smuggled, **verdict)

    exact = b"%d" % size
    yield case("exact", b"Content-Length: " + exact + b"\r\n", statuses=(400,))
    for name, value in {
        "with zeros": b"000" + exact,
        "after spaces": b"   " + exact,
        "after a tab": b"\t" + exact,
        "before spaces": exact + b"  ",
        "without a space": exact,
    }.items():
        separator = b":" if name == "without a space" else b": "
        yield case(name, b"Content-Length" + separator + value + b"\r\n", statuses=(400,))
    for name, value in {
        "signed": b"+" + exact,
        "negative": b"-" + exact,
        "negative zero": b"-0",
        "hexadecimal": b"0x%x" % size,
        "fraction": exact + b".0",
        "exponent": b"1e3",
        "comma": exact + b",",
        "list of equals": exact + b", " + exact,
        "list of two": exact + b", 0",
        "two numbers": exact + b" 0",
        "underscore": b"1_0",
        "quoted": b'"' + exact + b'"',
        "semicolon": exact + b";",
        "word": b"chunked",
        "empty": b"",
        "arabic digits": "٢".encode(),
        "superscript": "²".encode(),
        "vertical tab": b"\x0b" + exact,
        "form feed": b"\x0c" + exact,
        "zero byte": exact + b"\x00",
        "of 64 bits": b"18446744073709551615",
        "of a hundred digits": b"9" * 100,
        "of ten thousand digits": b"9" * 10_000,
        "of 63 bits": b"9223372036854775808",
        "that wraps at 32 bits": b"%d" % (2**32 + size),
        "that wraps at 64 bits": b"%d" % (2**64 + size),
        "too large": b"1048577",
    }.items():
        yield case(name, b"Content-Length: " + value + b"\r\n", is_cut=value.isdigit())
    yield case("beyond 64 bits", b"Content-Length: 18446744073709551616\r\n", is_cut=True)
    line, none = b"Content-Length: " + exact + b"\r\n", b"Content-Length: 0\r\n"
    yield case("twice the same", line + line, statuses=(400,))
    yield case("twice in other digits", line + b"Content-Length: 0" + exact + b"\r\n", statuses=(400,))
    yield case("twice, larger first", line + none)
    yield case("twice, smaller first", none + line)
    yield case("twice in two cases", line + none.lower())


def _codings(parts: Parts) -> Iterator[Case]:
    """Transfer-Encoding: what is read as chunked, with and without a Content-Length that would hide a request."""
    ended = b"0\r\n\r\n" + parts.smuggled
    length = b"Content-Length: %d\r\n" % len(ended)

    def pair(name: str, fields: bytes, **verdict: Unpack[Verdict]) -> Iterator[Case]:
        body = chunked(parts.honest)
        yield Case(name=f"coding {name}", sent=parts.create + fields + b"\r\n" + body, **verdict)

    for name, fields in {
        "chunked": b"Transfer-Encoding: chunked\r\n",
        "in capitals": b"TRANSFER-ENCODING: CHUNKED\r\n",
        "after a tab": b"Transfer-Encoding:\tchunked\r\n",
        "before spaces": b"Transfer-Encoding: chunked   \r\n",
        "without a space": b"Transfer-Encoding:chunked\r\n",
    }.items():
        yield from pair(name, fields, statuses=(201,))
        both = parts.create + length + fields + b"\r\n" + ended
        yield Case(name=f"coding {name} behind a length", sent=both, statuses=(400,), is_last=True)
        both = parts.create + fields + length + b"\r\n" + ended
        yield Case(name=f"coding {name} before a length", sent=both, statuses=(400,), is_last=True)
    for name, fields in _wrong_codings().items():
        yield from pair(name, fields)
        yield Case(name=f"coding {name} behind a length", sent=parts.create + length + fields + b"\r\n" + ended)
        yield Case(name=f"coding {name} before a length", sent=parts.create + fields + length + b"\r\n" + ended)
    old = parts.create.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n"
    yield Case(name="coding in HTTP/1.0", sent=old + b"\r\n" + chunked(parts.honest))
    yield Case(name="coding in HTTP/1.0 with a length", sent=old + length + b"\r\n" + ended)


def _wrong_codings() -> dict[str, bytes]:
    values = {
        "identity": b"identity",
        "identity first": b"identity, chunked",
        "identity last": b"chunked, identity",
        "gzip": b"gzip",
        "gzip first": b"gzip, chunked",
        "gzip last": b"chunked, gzip",
        "chunked twice": b"chunked, chunked",
        "comma behind": b"chunked,",
        "comma before": b",chunked",
        "with a letter more": b"xchunked",
        "with a letter less": b"chunke",
        "with a letter behind": b"chunkedx",
        "with a space in it": b"chun ked",
        "quoted": b'"chunked"',
        "with a parameter": b"chunked;q=1",
        "vertical tab before": b"\x0bchunked",
        "vertical tab behind": b"chunked\x0b",
        "zero byte": b"chunked\x00",
        "no-break space": b"chunked\xa0",
        "word": b"cow",
        "empty": b"",
    }
    lines = {name: b"Transfer-Encoding: " + value + b"\r\n" for name, value in values.items()}
    return lines | {
        "lines chunked, identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "lines identity, chunked": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "lines chunked, chunked": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "lines cow, chunked": b"Transfer-Encoding: cow\r\ntransfer-encoding: chunked\r\n",
        "space before the colon": b"Transfer-Encoding : chunked\r\n",
        "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
        "space before the name": b" Transfer-Encoding: chunked\r\n",
        "zero byte in the name": b"Transfer-Encoding\x00: chunked\r\n",
        "folded": b"Transfer-Encoding:\r\n chunked\r\n",
        "folded behind": b"Transfer-Encoding: chunked\r\n , identity\r\n",
        "behind a carriage return": b"X: y\rTransfer-Encoding: chunked\r\n",
        "carriage return behind": b"Transfer-Encoding: chunked\r\r\n",
    }


def _chunks(parts: Parts) -> Iterator[Case]:
    """The inside of a chunked body, as it may be."""
    head = parts.create + _CHUNKED
    size, body = b"%x" % len(parts.honest), parts.honest
    good = {
        "size in capitals": size.upper() + b"\r\n" + body + b"\r\n0\r\n\r\n",
        "size with zeros": b"0000" + size + b"\r\n" + body + b"\r\n0\r\n\r\n",
        "last size with zeros": size + b"\r\n" + body + b"\r\n000\r\n\r\n",
        "one byte each": b"".join(b"1\r\n" + body[at : at + 1] + b"\r\n" for at in range(len(body))) + b"0\r\n\r\n",
        "extension": size + b";name=value\r\n" + body + b"\r\n0\r\n\r\n",
        "quoted extension": size + b';name="a b"\r\n' + body + b"\r\n0\r\n\r\n",
        "extension of the last": size + b"\r\n" + body + b"\r\n0;end\r\n\r\n",
        "trailer": size + b"\r\n" + body + b"\r\n0\r\nX-Checksum: 1\r\n\r\n",
        "trailer of a length": size + b"\r\n" + body + b"\r\n0\r\nContent-Length: 500\r\n\r\n",
        "trailer of a coding": size + b"\r\n" + body + b"\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "trailer of a host": size + b"\r\n" + body + b"\r\n0\r\nHost: other.example\r\n\r\n",
        "trailer of an id": size + b"\r\n" + body + b"\r\n0\r\nX-Request-Id: smuggled-" + NUMBER + b"\r\n\r\n",
    }
    for name, rest in good.items():
        yield Case(name=f"chunk {name}", sent=head + rest, statuses=(201,))


def _chunk_sizes(parts: Parts) -> Iterator[Case]:
    """What stands where the size of a chunk belongs."""
    head = parts.create + _CHUNKED
    size, body = b"%x" % len(parts.honest), parts.honest
    sizes = {
        "empty": b"",
        "word": b"zz",
        "signed": b"+" + size,
        "negative": b"-" + size,
        "with a prefix": b"0x" + size,
        "with an underscore": size[:1] + b"_" + size[1:],
        "with a letter behind": size + b"g",
        "after a space": b" " + size,
        "after a tab": b"\t" + size,
        "of 64 bits": b"FFFFFFFFFFFFFFFF",
        "of 68 bits": b"FFFFFFFFFFFFFFFFF",
        "zero byte": size + b"\x00",
        "line feed alone": size + b"\n",
        "carriage return alone": size + b"\rX",
        "extension with a line feed": size + b";a\nb",
        "extension with a carriage return": size + b";a\rb",
        "extension of 100 KB": size + b";" + b"a" * 100_000,
    }
    for name, line in sizes.items():
        end = b"" if line.endswith(b"\n") else b"\r\n"
        sent = head + line + end + body + b"\r\n0\r\n\r\n"
        yield Case(name=f"chunk size {name}", sent=sent, is_cut=True)
    for name, line in {
        "at 64 bits": b"%x" % (2**64 + len(body)),
        "at 32 bits": b"%x" % (2**32 + len(body)),
    }.items():
        sent = head + line + b"\r\n" + body + b"\r\n0\r\n\r\n" + parts.smuggled
        yield Case(name=f"chunk size that wraps {name}", sent=sent, is_cut=True)


def _broken_chunks(parts: Parts) -> Iterator[Case]:
    """Chunks that do not end where they say, and what may not stand behind them."""
    head = parts.create + _CHUNKED
    size, body = b"%x" % len(parts.honest), parts.honest
    bad = {
        "without an end of its data": size + b"\r\n" + body + b"0\r\n\r\n",
        "with a line feed for the end of its data": size + b"\r\n" + body + b"\n0\r\n\r\n",
        "longer than its size": size + b"\r\n" + body + b"XX\r\n0\r\n\r\n",
        "shorter than its size": b"%x\r\n" % (len(body) + 9) + body + b"\r\n0\r\n\r\n",
        "without a last": size + b"\r\n" + body + b"\r\n",
        "without the last line": size + b"\r\n" + body + b"\r\n0\r\n",
        "trailer without a colon": size + b"\r\n" + body + b"\r\n0\r\nnonsense\r\n\r\n",
        "trailer folded": size + b"\r\n" + body + b"\r\n0\r\nX: y\r\n z\r\n\r\n",
        "trailer of 100 KB": size + b"\r\n" + body + b"\r\n0\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        "trailers beyond number": size + b"\r\n" + body + b"\r\n0\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        "with nothing at all": b"",
    }
    for name, rest in bad.items():
        yield Case(name=f"chunk {name}", sent=head + rest, is_cut=True)
