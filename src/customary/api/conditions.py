"""Entity tags and the conditions on them (RFC 9110 sections 8.8.3 and 13)."""

import hashlib
import re

from customary.errors import PreconditionFailed

_TAG = re.compile(rb'(W/)?"([^"]*)"')


def etag(body: bytes) -> bytes:
    """The strong tag of a representation: the same exactly as long as not a byte of it differs."""
    return b'"' + hashlib.blake2b(body, digest_size=16).hexdigest().encode() + b'"'


def etag_header(body: bytes) -> tuple[bytes, bytes]:
    """The header that carries the tag."""
    return b"etag", etag(body)


def require_match(if_match: list[bytes], body: bytes) -> None:
    """Raise `PreconditionFailed` unless one of these tags is the representation's; a weak tag never is."""
    wanted = b",".join(if_match)
    if wanted.strip() == b"*":
        return
    strong = {tag for weak, tag in _TAG.findall(wanted) if not weak}
    if etag(body).strip(b'"') not in strong:
        message = "This is no longer what you last saw: somebody changed it. Read it again and repeat your change."
        raise PreconditionFailed(message)


def is_known(if_none_match: list[bytes] | None, tag: bytes) -> bool:
    """Whether the caller has the representation with this tag already; here a weak tag is as good as a strong one."""
    if if_none_match is None:
        return False
    known = b",".join(if_none_match)
    return known.strip() == b"*" or tag.strip(b'"') in {each for _, each in _TAG.findall(known)}
