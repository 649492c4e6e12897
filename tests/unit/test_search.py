"""Folding: what a search takes for the same text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.domain.search import contains_pattern, fold


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Universite", "Université"),
        ("UNIVERSITÉ", "université"),
        ("universite\N{COMBINING ACUTE ACCENT}", "université"),
        ("strasse", "Straße"),
        ("lodz", "Łódź"),
        ("soren", "Søren"),
        ("aeroskobing", "Ærøskøbing"),
        ("thorshofn", "Þórshöfn"),
        ("dong da", "Đống Đa"),
        ("istanbul", "İstanbul"),
        ("diyarbakir", "Diyarbakır"),
        ("tel", "℡"),
        ("office", "office"),
        ("abc", "ABC"),
        ("ΣΟΦΟΣ", "σοφός"),
        ("東京", "東京"),
    ],
)
def test_a_search_finds_a_text_without_its_case_and_accents(typed: str, stored: str) -> None:
    assert fold(typed) == fold(stored)


def test_different_letters_stay_different() -> None:
    assert len({fold(text) for text in ("a", "b", "å1", "東", "京", "ش", "س")}) == 7


def test_folding_twice_changes_nothing_in_any_letter() -> None:
    assert [chr(code) for code in range(0x20000) if fold(fold(chr(code))) != fold(chr(code))] == []


def test_no_letter_is_told_from_its_capital() -> None:
    assert [chr(code) for code in range(0x20000) if fold(chr(code)) != fold(chr(code).upper())] == []


@given(texts, texts)
def test_a_part_of_a_text_folds_to_a_part_of_it(first: str, second: str) -> None:
    """So whatever part of a name somebody types, the pattern matches the whole."""
    assert fold(first + second) == fold(first) + fold(second)


@given(st.text(st.sampled_from("ab%_\\é%"), max_size=8), st.text(st.sampled_from("ab%_\\é%"), max_size=8))
def test_the_wildcards_of_a_pattern_are_taken_literally(typed: str, stored: str) -> None:
    assert bool(like(contains_pattern(typed)).fullmatch(fold(stored))) == (fold(typed) in fold(stored))


def like(pattern: str) -> re.Pattern[str]:
    """What LIKE does: % is anything, _ is one character, a backslash takes the next one literally."""
    parts = re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile(
        "".join(wild.get(part) or re.escape(part.removeprefix("\\") or "\\") for part in parts), re.DOTALL
    )
