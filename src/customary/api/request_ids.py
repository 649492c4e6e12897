"""The id by which a request is found in the log, and an answer's sender can name it."""

import re

from customary.uuid7 import uuid7_text

_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id(given: bytes | None) -> str:
    """The caller's id for a request if it is a plain one, else a new one."""
    return given.decode() if given is not None and _PLAIN.fullmatch(given) else uuid7_text()
