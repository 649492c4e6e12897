"""The before and after of a field, as the activity log shows it."""

import pytest

from customary.api.versions.v2024_07_30.activity_logs import _change
from customary.domain.activity import FieldChange


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2026-11-20T23:31:35.998070Z", "2026-11-20T23:31:35.99807Z"),
        ("2026-11-20T23:31:35Z", "2026-11-20T23:31:35Z"),
    ],
)
def test_times_are_written_as_everywhere_in_the_api(stored: str, shown: str) -> None:
    """Trailing zeros are dropped, in a field itself and inside of a list."""
    change = _change(FieldChange("updated_at", None, stored))
    inside = _change(FieldChange("aliases", [], [{"value": "a", "created_at": stored}]))

    assert change.after == shown
    assert inside.after == [{"value": "a", "createdAt": shown}]


def test_names_of_the_caller_stay_even_where_they_look_like_ours() -> None:
    """A custom property that is called like a time is a text."""
    change = _change(FieldChange("custom_properties", {}, {"paid_at": "2026-01-01T00:00:00.10Z"}))

    assert change.after == {"paid_at": "2026-01-01T00:00:00.10Z"}
