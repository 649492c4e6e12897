"""Page cursors: what is written is read again, and nothing else is."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.api.cursors import GOOD_FOR_DAYS, Cursors
from customary.domain.page import Position
from customary.errors import Invalid

SECRET = b"secret"
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


TODAY = 20_000


def cursors(
    value_type: type[str] | type[datetime] = str,
    *,
    secret: bytes = SECRET,
    list_key: bytes = b"list",
    today: int = TODAY,
) -> Cursors:
    return Cursors(secret, list_key, value_type, today)


def signed(payload: bytes) -> str:
    """A cursor that says anything at all and has the right signature."""
    raw = hmac.digest(SECRET, b"list\0" + payload, "sha256")[:16] + payload
    return urlsafe_b64encode(raw).decode().rstrip("=")


def refused(reader: Cursors, text: str) -> bool:
    try:
        reader.read("after", text)
    except Invalid as error:
        return [(problem.key, problem.code) for problem in error.problems] == [("after", "cursor")]
    return False


@given(st.none() | texts, st.uuids(), st.booleans())
def test_a_text_position_is_read_as_it_was_written(value: str | None, row_id: UUID, is_past: bool) -> None:
    position = Position(value, row_id, is_past)
    assert cursors().read("after", cursors().write(position)) == position


@given(times, st.uuids(), st.booleans())
def test_a_time_position_is_read_to_the_microsecond(value: datetime, row_id: UUID, is_past: bool) -> None:
    position = Position(value, row_id, is_past)
    assert cursors(datetime).read("after", cursors(datetime).write(position)) == position


@given(texts)
def test_a_cursor_needs_no_escaping_in_a_url(value: str) -> None:
    assert set(cursors().write(Position(value, UUID(int=1)))) <= set(ALPHABET)


def test_a_change_of_any_character_is_refused() -> None:
    text = cursors().write(Position("Müller", UUID(int=1)))
    for position in range(len(text)):
        for character in {"A", "z", "-", "~", "é", " ", "=", ""} - {text[position]}:
            changed = text[:position] + character + text[position + 1 :]
            assert refused(cursors(), changed), changed


def test_a_change_of_any_bit_is_refused() -> None:
    """Of the signature and of what it signs."""
    text = cursors().write(Position("Müller", UUID(int=1)))
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for position in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        assert refused(cursors(), urlsafe_b64encode(changed).decode().rstrip("=")), position


def test_a_cursor_is_good_for_thirty_days_and_no_longer() -> None:
    position = Position("a", UUID(int=1))
    text = cursors().write(position)
    for days in (0, 1, GOOD_FOR_DAYS):
        assert cursors(today=TODAY + days).read("after", text) == position
    assert refused(cursors(today=TODAY + GOOD_FOR_DAYS + 1), text)
    assert GOOD_FOR_DAYS == 30


def test_the_clock_of_another_machine_may_be_ahead() -> None:
    position = Position("a", UUID(int=1))
    assert cursors(today=TODAY - 2).read("after", cursors().write(position)) == position


def test_on_one_day_a_position_has_one_cursor() -> None:
    position = Position("a", UUID(int=1))
    assert cursors().write(position) == cursors().write(position)
    assert cursors().write(position) != cursors(today=TODAY + 1).write(position)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"null",
        b'["a", "00000000-0000-0000-0000-000000000001", false]',
        b'[20000, 1, "00000000-0000-0000-0000-000000000001", false]',
        b'[20000, "a", "1", false]',
        b'[20000, "a", "00000000-0000-0000-0000-000000000001", 0]',
        b'[20000, "\xff", "00000000-0000-0000-0000-000000000001", false]',
        b"[" * 2000,
    ],
)
def test_what_another_release_may_have_signed_is_refused_and_no_defect(payload: bytes) -> None:
    assert refused(cursors(), signed(payload))


def test_a_signed_text_is_no_time() -> None:
    assert refused(cursors(datetime), signed(b'[20000, "a", "00000000-0000-0000-0000-000000000001", false]'))


def test_signatures_are_compared_in_the_same_time_wherever_they_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return original(first, second)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    text = cursors().write(Position("a", UUID(int=1)))
    cursors().read("after", text)
    assert refused(cursors(), "A" + text[1:])
    assert [len(first) == len(second) == 16 for first, second in compared] == [True, True]


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "AAAA", "=", "é", "MDE4NDUyNjYtNmQ2NC03N2M4LTlhZGYtNDQ4N2Q5NGQxNDU3", "\0"),
        *("A" * 10_240, "é" * 10_240, "[" * 10_240, "\ud800"),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    assert refused(cursors(), text)


@given(texts)
def test_no_text_is_taken_for_a_cursor(text: str) -> None:
    assert refused(cursors(), text)


def test_a_longer_and_a_shorter_cursor_are_refused() -> None:
    text = cursors().write(Position("a", UUID(int=1)))
    assert refused(cursors(), text + "=")
    assert refused(cursors(), text + "AAAA")
    assert refused(cursors(), text[:-1])
    assert refused(cursors(), text[4:])


def test_the_cursor_of_another_list_or_installation_is_refused() -> None:
    text = cursors().write(Position("a", UUID(int=1)))
    assert refused(cursors(list_key=b"other list"), text)
    assert refused(cursors(secret=b"other secret"), text)
