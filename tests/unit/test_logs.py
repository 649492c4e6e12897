"""The form of the log: one JSON object a line, with the fields that are listed, and no exception's message."""

import ast
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import structlog
from tests.support import canaries

from customary import logs

Lines: TypeAlias = Callable[[], list[dict[str, Any]]]

PACKAGE = Path(logs.__file__).parent
OF_EVERY_LINE = {"event", "level", "timestamp"}
# What the form itself adds to some lines.
ADDED = {"left_out"}
METHODS = {"debug", "info", "warning", "error", "critical", "exception"}
COMMANDS = re.compile(r"[^\n -~\xa0-\u2027\u202a-\U0010ffff]")
HOSTILE = (
    'x\n{"event":"request","level":"info"}',
    "x\r\nevent=forged",
    "\x1b[2K\x1b[1A\x1b[31mforged",
    '"},{"event":"forged"}',
    "\u2028\u2029\x85forged",
    "\0forged",
    "\x7f\x9b31mforged é",
)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """All that is logged from now on, each line read as a program reads it. None has what commands a terminal."""
    watch = canaries.Watch()

    def read() -> list[dict[str, Any]]:
        assert not COMMANDS.search(watch.text())
        return [json.loads(line) for line in watch.text().splitlines()]

    canaries.listen(watch)
    yield read
    canaries.listen(canaries.WATCH)


def fields_in_source() -> dict[str, str]:
    """Each field that is handed to a log, and a place where it is."""
    found: dict[str, str] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"), attr=method)) if method in METHODS:
                    found |= {str(each.arg): f"{path.name}:{node.lineno}" for each in node.keywords}
                case _:
                    pass
    return found


def test_the_fields_in_the_source_are_those_that_are_listed() -> None:
    """One that is missing from the list would be left out of the log, and one too many is a hole that nobody needs."""
    found = fields_in_source() | dict.fromkeys(logs.RequestLine.__struct_fields__, "RequestLine")
    assert {"request_id", "duration_ms", "job_id", "places"} <= found.keys()
    unlisted = {name: place for name, place in found.items() if name not in logs.FIELDS}
    assert not unlisted, f"Only what never holds anything that a caller sent can be listed in logs.FIELDS: {unlisted}"
    assert logs.FIELDS - found.keys() == ADDED


def test_a_field_that_is_not_listed_is_left_out_and_named(lines: Lines) -> None:
    structlog.get_logger("customary.test").info("request", status=200, email=canaries.EMAIL, body={"a": 1})
    [line] = lines()
    assert line.keys() == OF_EVERY_LINE | {"status", "left_out"}
    assert line["left_out"] == ["body", "email"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_text_stays_inside_its_field(lines: Lines, hostile: str) -> None:
    """Whatever comes into a field: there is one line, and a terminal that shows it is told nothing."""
    structlog.get_logger("customary.test").info("request", method=hostile)
    logging.getLogger("customary.test").info("said %s", hostile)
    first, second = lines()
    assert first["method"] == hostile
    assert first.keys() == OF_EVERY_LINE | {"method"}
    assert second["event"] == f"said {hostile}".partition("\n")[0]
    assert second.keys() == OF_EVERY_LINE


@pytest.mark.parametrize("name", ["asyncio", "customary.storage.embedded"])
def test_an_exceptions_message_is_not_logged(lines: Lines, name: str) -> None:
    """Neither where it is logged as one, nor below the first line of what a library says about it."""
    try:
        int(canaries.EMAIL)
    except ValueError as error:
        logging.getLogger(name).exception("It failed.\nfuture: %r", error)  # noqa: TRY401 - asyncio says it like this
        structlog.get_logger("customary.test").exception("failed")
    assert len(lines()) == 2
    for line in lines():
        assert line["places"][0] == "ValueError"
        assert "test_logs.py" in line["places"][1]
        assert canaries.EMAIL not in json.dumps(line)
        assert line["event"] in {"It failed.", "failed"}
