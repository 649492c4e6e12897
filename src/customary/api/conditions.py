"""Entity tags and the conditions on them (RFC 9110 sections 8.8.3 and 13)."""

import hashlib
import re

from customary.errors import PreconditionFailed

_TAG = re.compile(rb'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# Tags with commas between them; elements may be empty. What is no such list is no condition that could hold.
_LIST = re.compile(rb"[ \t,]*TAG(?:[ \t]*,[ \t,]*TAG)*[ \t,]*".replace(b"TAG", _TAG.pattern))


def etag(body: bytes) -> bytes:
    """The strong tag of a representation: the same exactly as long as not a byte of it differs."""
    return b'"' + hashlib.blake2b(body, digest_size=16).hexdigest().encode() + b'"'


def etag_header(body: bytes) -> tuple[bytes, bytes]:
    """The header that carries the tag."""
    return b"etag", etag(body)


def require_match(if_match: list[bytes], body: bytes) -> None:
    """Raise `PreconditionFailed` unless one of these tags is the representation's; a weak tag never is."""
    wanted = _listed(if_match)
    if wanted is None:
        return
    strong = {tag for weak, tag in wanted if not weak}
    if etag(body).strip(b'"') not in strong:
        message = "This is no longer what you last saw: somebody changed it. Read it again and repeat your change."
        raise PreconditionFailed(message)


def is_known(if_none_match: list[bytes] | None, tag: bytes) -> bool:
    """Whether the caller has the representation with this tag already; here a weak tag is as good as a strong one."""
    if if_none_match is None:
        return False
    known = _listed(if_none_match)
    return known is None or tag.strip(b'"') in {each for _, each in known}


def _listed(values: list[bytes]) -> list[tuple[bytes, bytes]] | None:
    """The tags in all values of a header, each behind what marks it as weak; None for the star, which is any tag."""
    text = b",".join(values)
    if text.strip(b" \t") == b"*":
        return None
    return _TAG.findall(text) if _LIST.fullmatch(text) else []
