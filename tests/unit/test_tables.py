"""Files of customers as bytes: whatever is wrong with one is said with its line, and nothing makes the reader fail."""

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bodies import newest

from customary.api import versions
from customary.api.tables import judge
from customary.domain.transfer import Format, Judged, Place

HEAD = "legalName,address.line1,address.town,address.postcode,address.country,taxStatus,contacts"
CONTACTS = '"[{""name"":""A"",""email"":""a@example.com"",""billingPreference"":""PRIMARY""}]"'
ROW = f"Analytical Engines,1 Market Street,Leeds,LS1 6DT,GB,TAXED,{CONTACTS}"


def read(data: bytes | str, form: Format = Format.CSV, start: Place | None = None) -> list[Judged]:
    raw = data if isinstance(data, bytes) else data.encode()
    return list(judge(io.BytesIO(raw), form, versions.COLUMNS, versions.read_row, start))


def said(data: bytes | str, form: Format = Format.CSV) -> list[tuple[int, str, str]]:
    """What is said of a file: line, column and sentence."""
    return [(each.line, each.column, each.message) for judged in read(data, form) for each in judged.problems]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_both_line_ends_and_a_byte_order_mark_are_read(end: str, mark: bytes) -> None:
    [first, second] = read(mark + end.join([HEAD, ROW, "", ROW, ""]).encode())
    assert first.row is not None
    assert second.row is not None
    assert (first.row.line, second.row.line) == (2, 4)
    assert first.row.write == second.row.write
    assert first.row.write.legal_name == "Analytical Engines"


def test_a_text_may_have_quotes_commas_and_line_breaks() -> None:
    text = 'Ada, "Engines"\r\nand Sons\n'
    quoted = '"' + text.replace('"', '""') + '"'
    [first, second] = read(f"{HEAD}\n{ROW.replace('Analytical Engines', quoted)}\n{ROW}\n")
    assert first.row is not None
    assert second.row is not None
    assert first.row.write.legal_name == text
    assert second.row.line == 5, "lines are those of the file, not rows"


@pytest.mark.parametrize(
    ("data", "line", "column", "sentence"),
    [
        ("", 1, "", "The file is empty"),
        (f"{ROW}\n{ROW}\n", 1, "", "The first line must name the columns"),
        (f"{HEAD},colour\n{ROW},red\n", 1, "colour", "There is no column 'colour'"),
        (f"{HEAD},taxStatus\n{ROW},TAXED\n", 1, "taxStatus", "stands twice"),
        (f"{HEAD}\n{ROW},more\n", 2, "", "This row has 8 columns where the header has 7."),
        (f"{HEAD}\n{ROW}\nfew\n", 3, "", "This row has 1 columns"),
        (f'{HEAD}\n{ROW}\n"Analytical\nEngines\n', 3, "", "A quote that begins here never ends."),
        (f'{HEAD}\n"Analytical" Engines,x\n', 2, "", "This is not CSV that can be read"),
        (f"{HEAD}\r{ROW}\r", 1, "", "Lines must end in CRLF or LF"),
        (f"{HEAD}\n{ROW}\n".encode().replace(b"Leeds", b"L\xe9eds"), 2, "", "The line is not UTF-8: its byte 37"),
        (f"{HEAD}\n{ROW}\n".encode("utf-16"), 1, "", "The line is not UTF-8"),
        (f"{HEAD}\n{ROW}\n".replace("Leeds", "Le\0eds"), 2, "", "U+0000"),
        (f"{HEAD}\n{ROW.replace('Analytical', 'A' * 300)}\n", 2, "legalName", "This has 308 characters; at most 255"),
        (f"{HEAD}\n{ROW.replace('GB', 'US')}\n", 2, "address.state", "An address in US needs a state."),
        (f"{HEAD}\n{ROW.replace('GB', 'UK')}\n", 2, "address.country", "'UK' is not"),
        (f"{HEAD}\n{ROW.replace('a@', 'a a@')}\n", 2, "contacts[0].email", "This is not an e-mail address"),
        (f"{HEAD}\n{ROW.replace('PRIMARY', 'STANDARD')}\n", 2, "contacts", "PRIMARY"),
        (f"{HEAD}\n{ROW.replace(CONTACTS, '[')}\n", 2, "contacts", "The cell is not JSON that can be read"),
        (f"{HEAD}\n{ROW.replace(CONTACTS, '')}\n", 2, "contacts", "This field is required."),
        (f"{HEAD},id\n{ROW},17\n", 2, "id", "'17' is not an id"),
        (f"{HEAD},createdAt\n{ROW},yesterday\n", 2, "createdAt", "RFC 3339"),
        (f'{HEAD}\n"{"x" * 1_100_000}",a\n', 2, "", "The row is longer than 1048576 bytes"),
        (f'{HEAD}\n"' + "x\n" * 600_000, 301_000, "", "longer"),
    ],
)
def test_what_is_wrong_with_csv_is_said_with_its_line(data: bytes | str, line: int, column: str, sentence: str) -> None:
    [(found_line, found_column, message), *_] = said(data)
    assert sentence in message
    assert found_column == column
    assert found_line == line or (line > 1_000 and found_line > 1_000)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "The line is not JSON that can be read"),
        ("[]", "Each line must be one JSON object."),
        ('{"legalName": "a", "legalName": "b"}', "twice"),
        ('{"legalName": "\\u0000"}', "U+0000"),
        ("[" * 100 + "]" * 100, "nested more than 64 levels deep"),
        ('{"colour": "red"}', "There is no field 'colour'."),
        (json.dumps(newest(customerAliasLabels={"a": "b"})), "'a' is not one of the customerAliases of this row."),
        ('{"organizations": [{"id": "x"}]}', "Name their owners in parentId or organizationOwnerIds"),
    ],
)
def test_what_is_wrong_with_a_line_of_json_is_said_and_the_next_is_read(text: str, sentence: str) -> None:
    whole = json.dumps(newest())
    [before, bad, after] = read(f"{whole}\n{text}\n{whole}", Format.JSONL)
    assert before.row is not None
    assert after.row is not None
    [problem] = bad.problems
    assert problem.line == 2
    assert sentence in problem.message


def test_a_line_that_cannot_be_read_does_not_hide_the_next() -> None:
    data = f"{HEAD}\n{ROW}\n{ROW}\nfew\n{ROW}\n".encode().replace(b"LS1 6DT", b"\xff", 1)
    assert [(line, message[:20]) for line, _, message in said(data)] == [
        (2, "The line is not UTF-"),
        (4, "This row has 1 colum"),
    ]
    assert [each.row.line for each in read(data) if each.row] == [3, 5]


@pytest.mark.parametrize("form", Format)
def test_reading_goes_on_from_any_row(form: Format) -> None:
    """What follows a place is what followed it when the file was read from its beginning."""
    rows = [ROW.replace("Engines", f'"" {number}\n{number}').replace("Analytical", '"A') for number in range(5)]
    quoted = [row.replace("\n0,", '\n0",') for row in rows]
    lines = [
        HEAD,
        *(f'"Name ""{number}"",\n second line",{row.partition(",")[2]}' for number, row in enumerate(quoted)),
    ]
    json_lines = [json.dumps(newest(legalName=f"Name {number}")) for number in range(5)]
    data = "\r\n".join(lines if form is Format.CSV else json_lines)
    whole = read(data, form)
    assert len(whole) == 5
    assert not any(each.problems for each in whole)
    for number, each in enumerate(whole):
        assert read(data, form, each.place) == whole[number + 1 :]


def test_no_file_takes_more_memory_than_a_row() -> None:
    """Nor a file of one endless line, nor one of an endless quote."""

    class Endless(io.RawIOBase):
        def __init__(self, start: bytes, piece: bytes) -> None:
            self.start, self.piece = start, piece * 4096

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.rest = self.start
            return offset

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            piece = (self.rest or self.piece)[: len(buffer)]
            self.rest = b""
            buffer[: len(piece)] = piece
            return len(piece)

    head = f"{HEAD}\n".encode()
    endless = [(head + b'"', b"x" * 80 + b"\n"), (head + b'"', b'a","b' * 20 + b"\n"), (b"", b"x")]
    for start, piece in endless:
        tracemalloc.start()
        try:
            *_, last = judge(io.BufferedReader(Endless(start, piece)), Format.CSV, versions.COLUMNS, versions.read_row)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert last.problems
        assert peak < 30 * 1024 * 1024


@given(st.binary(max_size=300), st.sampled_from(Format), st.booleans())
def test_no_bytes_make_the_reader_fail(data: bytes, form: Format, has_head: bool) -> None:
    """Whatever comes, each row is read or has a problem with a line of the file."""
    whole = f"{HEAD}\n".encode() + data if has_head else data
    for judged in read(whole, form):
        assert (judged.row is None) == bool(judged.problems)
        assert all(1 <= each.line <= whole.count(b"\n") + 1 and each.message for each in judged.problems)
