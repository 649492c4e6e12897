"""Folding: what a search takes for the same text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import texts

from customary.domain.search import (
    at_start,
    contains_pattern,
    document,
    exactly,
    fold,
    index_key,
    index_pattern,
    is_indexed,
    word_pattern,
    words,
)


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


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Université de  Lyon", ("universite", "de", "lyon")),
        ("a\tb\N{NO-BREAK SPACE}c\N{IDEOGRAPHIC SPACE}d\ne", ("a", "b", "c", "d", "e")),
        ("acme ACME Äcme", ("acme",)),
        ("art start", ("start",)),
        ("start art tar", ("start",)),
        (" \n", ()),
        ("\N{COMBINING ACUTE ACCENT}", ()),
        ("", ()),
    ],
)
def test_the_words_of_a_search(typed: str, expected: tuple[str, ...]) -> None:
    assert words(typed) == expected


@given(texts)
def test_no_word_is_implied_by_another_and_all_stand_in_the_text(typed: str) -> None:
    found = words(typed)
    assert not any(word in other for word in found for other in found if word is not other)
    assert {word for word in fold(typed).split() if not any(word in each for each in found)} == set()
    assert all(word in fold(typed) for word in found)


def test_a_document_has_each_text_once_on_a_line_of_its_own() -> None:
    assert document(["Äcme  GmbH", "a\nb", "acme gmbh"]) == "\nacme gmbh\na b\n"
    assert document([]) == "\n"


@given(st.lists(texts, max_size=4), texts)
def test_a_line_is_told_from_a_part_of_one(stored: list[str], typed: str) -> None:
    def one_line(text: str) -> str:
        return " ".join(fold(text).split())

    lines = [one_line(text) for text in stored]
    if one_line(typed):
        assert (exactly(typed) in document(stored)) == (one_line(typed) in lines)
        assert (at_start(typed) in document(stored)) == any(line.startswith(one_line(typed)) for line in lines)


@given(st.lists(texts, max_size=4), texts)
def test_the_words_of_any_part_of_a_text_are_found_in_its_document(stored: list[str], typed: str) -> None:
    found = document([*stored, typed])
    for word in words(typed[len(typed) // 3 :]):
        assert like(word_pattern(word)).fullmatch(found)
        assert like(index_pattern(word)).fullmatch(index_key(found))


@given(texts, texts)
def test_the_index_misses_nothing_that_the_document_has(first: str, second: str) -> None:
    assert index_key(first + second) == index_key(first) + index_key(second)
    assert index_key(first).isascii()


@pytest.mark.parametrize(
    ("word", "expected"),
    [("acme", True), ("abc", True), ("ab", False), ("a.b.c.d", False), ("%%%", False), ("東", False), ("東京", True)],
)
def test_the_index_is_asked_for_what_it_has(word: str, expected: bool) -> None:
    assert is_indexed(word) == expected


def test_the_index_tells_the_letters_of_a_script_apart() -> None:
    for script in ("абвгдежзийклмнопрстуфхцчшщъыьэюя", "αβγδεζηθικλμνξοπρςστυφχψω", "東京都大阪名古屋"):
        assert len({index_key(letter) for letter in script}) == len(script)
        # Even by the half of it that a trigram holds of the next letter.
        assert len({index_key(letter)[0] for letter in script}) == len(script)


def like(pattern: str) -> re.Pattern[str]:
    """What LIKE does: % is anything, _ is one character, a backslash takes the next one literally."""
    parts = re.findall(r"\\.|[^\\]", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile(
        "".join(wild.get(part) or re.escape(part.removeprefix("\\") or "\\") for part in parts), re.DOTALL
    )
