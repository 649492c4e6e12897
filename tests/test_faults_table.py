"""The table of faults: each has what is expected and the tests that show it, all of which exist and run."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
SECTIONS = {"Our process is killed": 13, "PostgreSQL": 20, "Concurrency": 12, "Hostile input": 17}

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
WITHOUT = re.compile(r"No test: (.{30,})")


class Row(Struct, frozen=True):
    """One fault: what happens, what is to come of it, and what shows that."""

    section: str
    fault: str
    expected: str
    shown_by: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """The file and the function of each test that is named."""
        return NAMED.findall(self.shown_by)


def rows(text: str) -> list[Row]:
    """Read the tables below the headings of the second rank, without their heads."""
    found: list[Row] = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, below = section.partition("\n")
        lines = [line for line in below.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]
        found += [Row(heading, *row) for row in cells]
    return found


ROWS = rows(PAGE.read_text())


@cache
def functions_of(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse((ROOT / path).read_text())
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name: node for node in found}


def problem_of(path: str, name: str) -> str | None:
    """Say why this is no test that runs; None if it is one."""
    if not (ROOT / path).is_file():
        return f"there is no {path}"
    if not Path(path).name.startswith("test_") or not name.startswith("test_"):
        return f"{path}::{name} is nothing that pytest collects"
    function = functions_of(path).get(name)
    if function is None:
        return f"{path} has no {name}"
    marks = {ast.unparse(each).partition("(")[0] for each in function.decorator_list}
    return f"{path}::{name} is never run" if marks & {"pytest.mark.skip", "pytest.mark.xfail"} else None


def test_the_table_has_every_fault() -> None:
    counts = {section: sum(row.section == section for row in ROWS) for section in SECTIONS}
    assert counts == SECTIONS
    assert len({row.fault for row in ROWS}) == len(ROWS) == sum(SECTIONS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row.fault)[:50])
def test_each_fault_is_shown_or_says_why_not(row: Row) -> None:
    assert row.fault
    assert row.expected
    assert bool(row.tests) != bool(WITHOUT.match(row.shown_by)), "name tests, or a reason why there is none"
    assert [problem for path, name in row.tests if (problem := problem_of(path, name)) is not None] == []


def test_what_is_no_test_is_noticed() -> None:
    """A test that was renamed, moved or taken out of the run would be named here for ever."""
    this = "tests/test_faults_table.py"
    assert problem_of(this, "test_what_is_no_test_is_noticed") is None
    assert problem_of(this, "test_that_is_gone") is not None
    assert problem_of("tests/test_nothing.py", "test_it") is not None
    assert problem_of("tests/faults/support.py", "until") is not None
    table = (
        "## Concurrency\n\n| fault | expected | shown by |\n|---|---|---|\n| one \\| two | a | No test: it is `x`. |\n"
    )
    assert rows(table) == [Row("Concurrency", "one \\| two", "a", "No test: it is `x`.")]
