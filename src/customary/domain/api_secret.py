"""The form of an API key's secret: a prefix, 256 random bits, and a checksum by which a scanner knows it for ours.

Secrets of earlier releases have another form. What is checked of a secret is its hash alone, so they go on working.
"""

from zlib import crc32

PREFIX = "csk_"  # it marks a secret in a leaked file
RANDOM_BYTES = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS = 43  # as many as 256 bits can need
_CHECKSUM_DIGITS = 6  # as many as 32 bits can need


def written(random: bytes) -> str:
    """The secret with these 32 random bytes.

    Behind the last underscore stands the CRC-32 of all that is before it, both numbers in base 62.
    """
    body = f"{PREFIX}{_base62(int.from_bytes(random, 'big'), _RANDOM_DIGITS)}"
    return f"{body}_{_base62(crc32(body.encode()), _CHECKSUM_DIGITS)}"


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
