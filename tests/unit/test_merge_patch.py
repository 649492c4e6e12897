"""JSON Merge Patch: the table of RFC 7396, and laws that hold for any two JSON values."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clients import Json

from customary.domain.merge_patch import apply

# Appendix A: original, patch, result.
VECTORS: list[tuple[Json, Json, Json]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
KEYS = st.sampled_from("abc")
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("original", "patch", "result"), VECTORS)
def test_the_published_vectors(original: Json, patch: Json, result: Json) -> None:
    assert apply(original, patch) == result


@pytest.mark.parametrize("levels", [1, 64])
def test_a_patch_reaches_as_deep_as_it_is_nested(levels: int) -> None:
    """Bodies are nested at most 64 deep: that is what limits the recursion."""

    def nested(innermost: Json) -> Json:
        value: Json = innermost
        for _ in range(levels - 1):
            value = {"kept": [value], "a": value}
        return value

    original, patch = nested({"set": 1, "removed": 2}), nested({"set": 3, "removed": None, "absent": None})
    result: Any = apply(original, patch)
    for _ in range(levels - 1):
        assert result["kept"] == patch["kept"]
        result, patch = result["a"], patch["a"]
    assert result == {"set": 3}


@given(VALUES, VALUES)
def test_neither_value_is_changed(original: Json, patch: Json) -> None:
    before = copy.deepcopy((original, patch))
    apply(original, patch)
    assert (original, patch) == before


@given(VALUES, VALUES)
def test_a_patch_applied_twice_is_a_patch_applied_once(original: Json, patch: Json) -> None:
    once = apply(original, patch)
    assert apply(once, patch) == once


@given(VALUES)
def test_an_empty_patch_leaves_an_object_as_it_is(original: Json) -> None:
    expected = original if isinstance(original, dict) else {}
    assert apply(original, {}) == expected


@given(VALUES, st.dictionaries(KEYS, VALUES, max_size=3))
def test_what_a_patch_does_not_name_stays_and_what_it_removes_is_gone(original: Json, patch: dict[str, Json]) -> None:
    result = apply(original, patch)
    assert isinstance(result, dict)
    members = original if isinstance(original, dict) else {}
    assert {name: value for name, value in result.items() if name not in patch} == {
        name: value for name, value in members.items() if name not in patch
    }
    assert result.keys() & patch.keys() == {name for name, value in patch.items() if value is not None}


@given(VALUES, VALUES)
def test_no_null_of_a_patch_survives_inside_objects(original: Json, patch: Json) -> None:
    """Only in lists, which replace as they are, and in what the original had."""

    def nulls(value: Json) -> int:
        return sum(each is None or nulls(each) for each in value.values()) if isinstance(value, dict) else 0

    if isinstance(patch, dict):
        assert nulls(apply({}, patch)) == 0
    else:
        assert apply(original, patch) == patch
