"""Page cursors: what is written is read again, and nothing else is."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.api.cursors import Cursors
from customary.domain.page import Position
from customary.errors import Invalid

SECRET = b"secret"
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def cursors(
    value_type: type[str] | type[datetime] = str, *, secret: bytes = SECRET, list_key: bytes = b"list"
) -> Cursors:
    return Cursors(secret, list_key, value_type)


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


@pytest.mark.parametrize("text", ["", "A", "AAAA", "=", "é", "MDE4NDUyNjYtNmQ2NC03N2M4LTlhZGYtNDQ4N2Q5NGQxNDU3", "\0"])
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
