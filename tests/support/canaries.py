"""Personal data and secrets that neither a log nor a metric may have, and the watch that every test is under.

All tests take part: the bodies that they send have the values below, and whatever reads like an e-mail address, a
telephone or tax number or a credential counts as well, whoever made it up. What is searched is the log of this process,
the logs of all that `tests.faults` starts, PostgreSQL's own, and what all of these measure, as `tests.support.measured`
hands it to `take`; a trace could be in the same way. The test at whose end something is found fails.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

import structlog
from msgspec import Struct

from customary import logs

EMAIL = "ada@example.com"
PERSON = "Ada"
COMPANY = "Acme"
STREET = "Invalidenstr. 1"
TELEPHONE = "+49 30 5550100"

_SHOWN = 300


class Kind(Struct, frozen=True):
    """Something that neither may have. A text without the needle has none of it, which is quick to see."""

    name: str
    needle: str
    pattern: re.Pattern[str]


def _kind(name: str, needle: str, pattern: str) -> Kind:
    return Kind(name, needle, re.compile(pattern))


KINDS = (
    _kind("an e-mail address", "@", r"[\w.+-]{1,64}@(?:[\w-]+\.)+[A-Za-z]{2,}"),
    _kind("an e-mail address, encoded", "%40", r"[\w.+-]{1,64}%40[\w.-]+"),
    _kind("a telephone number", "+", r"(?<![\w.:])\+[0-9](?:[ ()/-]?[0-9]){7,14}\b"),
    _kind("a tax number", "", r"\b(?:AT|BE|CH|DE|EL|ES|FR|GB|IE|IT|NL|PL|XI)U?[0-9]{8,11}\b"),
    _kind("the secret of an API key", "csk_", r"csk_\w{8,}"),
    _kind("the secret of a webhook", "whsec_", r"whsec_[\w+/=-]{8,}"),
    _kind("credentials", "asic ", r"\b[Bb]asic [\w+/=]{12,}"),
    _kind("a token", "earer ", r"\b[Bb]earer \S{8,}"),
    _kind("a password in an address", "://", r"://[^\s:/@\"']+:[^\s:/@\"']+@"),
    _kind("a name", PERSON, rf"\b{PERSON}\b"),
    _kind("a company", COMPANY, rf"\b{COMPANY}\b"),
    _kind("a street", "Invalidenstr", "Invalidenstr"),
)


class Leak(Struct, frozen=True):
    """What was found, and where."""

    source: str
    kind: str
    line: str

    def __str__(self) -> str:
        return f"{self.source} has {self.kind}: {self.line[:_SHOWN]}"


class LeakedError(AssertionError):
    """A log or a metric has what it must not have."""


class Watch:
    """What was logged since the last look, and the files to look into."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._found: list[Leak] = []
        self._offsets: dict[Path, int] = {}
        self._directories: list[Path] = []

    def take(self, source: str, text: str) -> None:
        """Search a text that stands for a log, or for anything else that is kept or shown to operators."""
        self._found += leaks(source, text)

    def read(self, *places: Path) -> None:
        """Search these files, and those named `*.log` and `*.err` below these directories, from where it ended before.

        Whoever removes a log reads it first.
        """
        for place in places:
            for path in _files(place):
                with contextlib.suppress(OSError), path.open("rb") as file:
                    file.seek(self._offsets.get(path, 0))
                    found = file.read()
                    self._offsets[path] = file.tell()
                    self.take(str(path), found.decode(errors="replace"))

    @contextmanager
    def watching(self, directory: Path) -> Generator[None]:
        """Search the logs below this directory at the end of every test, and once more at the end of the block."""
        self._directories.append(directory)
        try:
            yield
        finally:
            self._directories.remove(directory)
            self.read(directory)

    def check(self) -> None:
        """Raise `LeakedError` if something was found since the last check."""
        self.read(*self._directories)
        lines, self._lines = self._lines, []
        self.take("the log of this process", "".join(lines))
        found, self._found = self._found, []
        if found:
            shown = "\n".join(f"  {leak}" for leak in found[:10])
            message = f"Neither a log nor a metric may have personal data or secrets:\n{shown}"
            raise LeakedError(message)

    def write(self, line: str) -> None:
        """Take a line of this process's own log; what went wrong is printed, so that a failing test shows it."""
        self._lines.append(line)
        if '"level":"info"' not in line and '"level":"warning"' not in line:
            sys.stdout.write(line)

    def text(self) -> str:
        """The own log of this process since the last check."""
        return "".join(self._lines)

    def flush(self) -> None:
        """There is nothing to be done: a line that is taken is kept."""


def leaks(source: str, text: str) -> list[Leak]:
    """What of a text must not be there."""
    found: list[Leak] = []
    for kind in KINDS:
        if kind.needle in text:
            for match in kind.pattern.finditer(text):
                begin, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
                found.append(Leak(source, f"{kind.name} ({match[0]})", text[begin : end if end >= 0 else None]))
    return found


def listen(watch: Watch) -> None:
    """Log as the service does, into the watch instead of standard error."""
    logs.configure(cast("TextIO", watch))
    structlog.configure(cache_logger_on_first_use=False)
    handlers = logging.getLogger().handlers
    ours = [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]
    for handler in cast("Iterable[logging.StreamHandler[TextIO]]", ours):
        handler.setStream(cast("TextIO", watch))


def _files(place: Path) -> Iterable[Path]:
    if place.is_dir():
        return [path for suffix in ("*.log", "*.err") for path in place.rglob(suffix)]
    return [place]


WATCH = Watch()
