"""Times on the wire."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from customary.api.wire import time_form, time_text


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2021, 1, 2, 10, 55, tzinfo=UTC), "2021-01-02T10:55:00Z"),
        (datetime(2021, 1, 2, 10, 55, 0, 120000, tzinfo=UTC), "2021-01-02T10:55:00.12Z"),
        (datetime(2021, 1, 2, 10, 55, 0, 1, tzinfo=UTC), "2021-01-02T10:55:00.000001Z"),
        (datetime(2021, 1, 2, 10, 55, tzinfo=timezone(timedelta(hours=2))), "2021-01-02T08:55:00Z"),
    ],
)
def test_times_are_in_utc_without_trailing_zeros(time: datetime, text: str) -> None:
    assert time_text(time) == text


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_no_microsecond_is_lost(time: datetime) -> None:
    text = time_text(time)
    assert datetime.fromisoformat(text) == time
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z", text)


ZONES = st.sampled_from((UTC, timezone(timedelta(hours=2)), timezone(timedelta(0))))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=ZONES), st.sampled_from((0, 10, 1000, 1)))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_body_has_the_same_form(time: datetime, step: int) -> None:
    """Whether it is written here or by msgspec."""
    time = time.replace(microsecond=time.microsecond - time.microsecond % step if step else 0)
    assert json.encode(time_form(time)) == json.encode(time_text(time))
