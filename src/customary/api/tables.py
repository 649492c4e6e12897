"""Files of customers, line by line: CSV (RFC 4180) and JSONL, in UTF-8, from their beginning or from a place in them.

However a file is damaged, what is wrong is said with its line, and never more than a line of it is held in memory.
"""

import csv
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, TypeAlias, cast

from msgspec import Struct

from customary.api.guard import MAXIMUM_BODY_BYTES, parse_json
from customary.domain.transfer import Format, Judged, Place, Row, RowProblem
from customary.errors import Failure

ReadRow: TypeAlias = Callable[[dict[str, object], int], Row]

_BOM = b"\xef\xbb\xbf"
_MOST_SHOWN = 40


class Columns(Struct, frozen=True):
    """What a CSV file can have: columns of text, columns of JSON, and the fields of the address as `address.line1`."""

    fields: tuple[str, ...]
    texts: frozenset[str]
    address_fields: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of all columns, in their order."""
        return [
            name
            for field in self.fields
            for name in ([f"address.{each}" for each in self.address_fields] if field == "address" else [field])
        ]


class _Damaged(Exception):
    """What is wrong with the bytes of a line; behind some damage there is no next line to be found."""

    def __init__(self, line: int, message: str, *, is_last: bool = True) -> None:
        super().__init__(message)
        self.problem = RowProblem(line, "", message)
        self.is_last = is_last


class _Lines:
    """The lines of a file as text, each with its end; knows how far it has read."""

    def __init__(self, file: BinaryIO, place: Place) -> None:
        file.seek(place.byte)
        self._file = file
        self.byte, self.line = place.byte, place.line
        self.row_byte = place.byte

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(MAXIMUM_BODY_BYTES + 1)
        if not raw:
            raise StopIteration
        self.byte += len(raw)
        self.line += 1
        if self.byte - self.row_byte > MAXIMUM_BODY_BYTES:
            raise _Damaged(self.line, f"The row is longer than {MAXIMUM_BODY_BYTES} bytes, the most that is read.")
        if self.line == 1 and raw.startswith(_BOM):
            raw = raw[len(_BOM) :]
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            message = f"The line is not UTF-8: its byte {error.start + 1} cannot be read. Save the file as UTF-8."
            raise _Damaged(self.line, message, is_last=False) from None
        if "\0" in text:
            message = "The line contains the character U+0000, which cannot be stored."
            raise _Damaged(self.line, message, is_last=False)
        return text


def judge(
    file: BinaryIO, form: Format, columns: Columns, read_row: ReadRow, start: Place | None = None
) -> Generator[Judged]:
    """Every row of this file behind a place, with what is wrong with it; damage that hides the rest comes last."""
    lines = _Lines(file, start or Place())
    rows = (start or Place()).rows
    found = _from_csv(file, lines, columns) if form is Format.CSV else _from_jsonl(lines)
    for line, value in found:
        rows += 1
        place = Place(lines.byte, lines.line, rows)
        if isinstance(value, tuple):
            yield Judged(place, problems=value)
            continue
        try:
            yield Judged(place, read_row(value, line))
        except Failure as failure:
            yield Judged(place, problems=tuple(_problems(line, failure)))


_Found: TypeAlias = "Iterator[tuple[int, dict[str, object] | tuple[RowProblem, ...]]]"


def _problems(line: int, failure: Failure) -> Iterator[RowProblem]:
    if not failure.problems:
        yield RowProblem(line, "", failure.message)
    for problem in failure.problems:
        yield RowProblem(line, problem.key, problem.message)


def _from_jsonl(lines: _Lines) -> _Found:
    while True:
        lines.row_byte = lines.byte
        try:
            text = next(lines)
        except StopIteration:
            return
        except _Damaged as damage:
            yield damage.problem.line, (damage.problem,)
            if damage.is_last:
                return
            continue
        if text.isspace():
            continue
        yield lines.line, _json_object(text, lines.line)


def _json_object(text: str, line: int) -> "dict[str, object] | tuple[RowProblem, ...]":
    try:
        value = parse_json(text.strip().encode())
    except Failure as failure:
        return (RowProblem(line, "", failure.message.replace("The body", "The line")),)
    if not isinstance(value, dict):
        return (RowProblem(line, "", "Each line must be one JSON object."),)
    members = cast("dict[str, object]", value)
    if members.pop("organizations", []) != []:
        message = "Organisations are not read from here. Name their owners in parentId or organizationOwnerIds."
        return (RowProblem(line, "organizations", message),)
    return members


def _from_csv(file: BinaryIO, lines: _Lines, columns: Columns) -> _Found:
    is_begun = lines.byte > 0
    heads = _Lines(file, Place())
    csv.field_size_limit(MAXIMUM_BODY_BYTES)
    try:
        header = next(csv.reader(heads, strict=True), list[str]())
    except (_Damaged, csv.Error) as error:
        yield 1, (_damage(error, 1).problem,)
        return
    problems = tuple(_header_problems(header, columns))
    if problems:
        yield 1, problems
        return
    if is_begun:
        file.seek(lines.byte)
    else:
        lines.byte, lines.line = heads.byte, heads.line
    cells = [_cell(name, columns) for name in header]
    yield from _csv_rows(lines, len(header), lambda row, line: _members(cells, row, line))


def _csv_rows(
    lines: _Lines, width: int, members: "Callable[[list[str], int], dict[str, object] | tuple[RowProblem, ...]]"
) -> _Found:
    reader = csv.reader(lines, strict=True)
    while True:
        line, lines.row_byte = lines.line + 1, lines.byte
        try:
            row = next(reader)
        except StopIteration:
            return
        except (_Damaged, csv.Error) as error:
            damage = _damage(error, line)
            yield line, (damage.problem,)
            if damage.is_last or lines.line > line:  # within quotes, whose end nobody knows any more
                return
            reader = csv.reader(lines, strict=True)
            continue
        if not row:
            continue
        if len(row) != width:
            message = f"This row has {len(row)} columns where the header has {width}."
            yield line, (RowProblem(line, "", message),)
            continue
        yield line, members(row, line)


def _damage(error: "_Damaged | csv.Error", line: int) -> _Damaged:
    """What cannot be read as CSV. Where it goes on behind that cannot be known."""
    if isinstance(error, _Damaged):
        return error
    reason = str(error)
    if "unexpected end of data" in reason:
        return _Damaged(line, "A quote that begins here never ends. Close it; a quote in a text is written twice.")
    if "field larger" in reason:
        return _Damaged(line, f"A field is longer than {MAXIMUM_BODY_BYTES} characters; perhaps its quote never ends.")
    if "new-line" in reason:
        return _Damaged(line, "Lines must end in CRLF or LF; a CR alone was found outside of quotes.")
    return _Damaged(line, f"This is not CSV that can be read ({reason}). A text with a quote is quoted whole.")


def _header_problems(header: list[str], columns: Columns) -> Iterator[RowProblem]:
    if not header:
        yield RowProblem(1, "", "The file is empty: a CSV file begins with a line that names its columns.")
        return
    known = set(columns.names)
    if known.isdisjoint(header):
        message = f"The first line must name the columns, such as: {', '.join(columns.names)}."
        yield RowProblem(1, "", message)
        return
    for name in dict.fromkeys(header):
        if name not in known:
            message = f"There is no column '{name[:_MOST_SHOWN]}'. There are: {', '.join(columns.names)}."
            yield RowProblem(1, name[:_MOST_SHOWN], message)
        elif header.count(name) > 1:
            yield RowProblem(1, name, "This column stands twice in the first line.")


class _Cell(Struct, frozen=True):
    """How a column is read: into which field, of the address or of the row, as a text or as JSON."""

    name: str
    field: str
    is_text: bool
    is_address: bool


def _cell(name: str, columns: Columns) -> _Cell:
    is_address = name.startswith("address.")
    return _Cell(name, name.removeprefix("address."), is_address or name in columns.texts, is_address)


def _members(cells: list[_Cell], row: list[str], line: int) -> "dict[str, object] | tuple[RowProblem, ...]":
    """The fields of a row; an empty cell is a field that is not there."""
    members: dict[str, object] = {}
    address: dict[str, object] = {}
    problems: list[RowProblem] = []
    for cell, text in zip(cells, row, strict=True):
        if not text:
            continue
        if cell.is_address:
            address[cell.field] = text
        elif cell.is_text:
            members[cell.field] = text
        else:
            try:
                members[cell.field] = parse_json(text.encode())
            except Failure as failure:
                problems.append(RowProblem(line, cell.name, failure.message.replace("The body", "The cell")))
    members["address"] = address
    return tuple(problems) or members
