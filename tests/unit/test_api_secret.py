"""The form of API secrets: what a scanner for leaked ones can go by."""

import re
import zlib

import pytest

from customary.domain import api_secret

FORM = re.compile(r"csk_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})")
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def number(text: str) -> int:
    value = 0
    for digit in text:
        value = value * 62 + DIGITS.index(digit)
    return value


@pytest.mark.parametrize("random", [bytes(32), b"\xff" * 32, bytes(range(32)), b"\0" * 31 + b"\1"])
def test_all_random_bytes_and_a_checksum_are_in_it(random: bytes) -> None:
    secret = api_secret.written(random)
    found = FORM.fullmatch(secret)
    assert found is not None
    assert number(found[1]).to_bytes(32, "big") == random
    assert number(found[2]) == zlib.crc32(secret.rpartition("_")[0].encode())


def test_one_mistyped_character_does_not_fit_the_checksum() -> None:
    secret = api_secret.written(bytes(range(32)))
    body, _, checksum = secret.rpartition("_")
    for position in range(4, len(body)):
        other = "0" if body[position] != "0" else "1"
        changed = body[:position] + other + body[position + 1 :]
        assert zlib.crc32(changed.encode()) != number(checksum)
