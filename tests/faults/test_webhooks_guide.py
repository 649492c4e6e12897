"""Everything that docs/webhooks.md tells a newcomer to type is typed, against the real service and the real receiver.

What the page shows must be what comes. Ids, secrets and times differ from run to run: each of the page's stands for one
of ours, always the same one. So a replay that shows an id of before on the page has to show it here too.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from msgspec import Struct
from tests.faults.support import Service, environment, free_port, new_data_dir, serving, until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "webhooks.md"

# A block, with a comment before it that names the terminal it is about, if it is not the first one.
BLOCK = re.compile(r"^(?:<!-- terminal: (\w+) -->\n)?```(console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A command with its continued lines, or with the document that it reads.
COMMAND = re.compile(r"^\$ (?:.*<<'(\w+)'\n(?:.*\n)*?\1\n|(?:.*\\\n)*.*\n)", re.MULTILINE)
# What is another one in each run; the first two stand for one of ours each, a time for any.
NAMED = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?:whsec|csk)_[\w+/=-]{20,}"
TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?"
DURATION = r"(?<=in )\d+(?= ms)|(?<=Milliseconds\": )\d+"
VARIABLE = re.compile(rf"({NAMED})|{TIME}|{DURATION}")

# What cannot be typed here: the service runs already, and an installation over several machines is its own subject.
NOT_TYPED = ("make serve", "export CUSTOMARY_", "customary worker")


class Block(Struct, frozen=True):
    """A block of the page: in which terminal, and what is typed and shown there."""

    terminal: str
    steps: tuple[tuple[str | None, str], ...]


def steps_of(text: str) -> Iterator[tuple[str | None, str]]:
    """Each command with what follows it; None for what is shown without one."""
    starts = list(COMMAND.finditer(text))
    ends = [each.start() for each in starts] + [len(text)]
    if ends[0] > 0:
        yield None, text[: ends[0]]
    for start, end in zip(starts, ends[1:], strict=True):
        yield start[0].removeprefix("$ ").rstrip("\n"), text[start.end() : end]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(terminal or "first", tuple(steps_of(text))) for terminal, _, text in found]


class Dictionary:
    """What the page's ids, secrets and ports are here."""

    def __init__(self, given: dict[str, str]) -> None:
        self._ours = given

    def command(self, text: str) -> str:
        """A command of the page as it has to be typed here."""
        for theirs, ours in self._ours.items():
            text = text.replace(theirs, ours)
        return text

    def problem(self, shown: str, came: str) -> str | None:
        """What differs between the page and what came; None if nothing does. Then what is new is learned."""
        expected, given = VARIABLE.sub("<>", shown.strip()), VARIABLE.sub("<>", self._with_ports_of_page(came.strip()))
        if expected != given:
            return f"The page shows:\n{shown}\nThis came:\n{came}"
        learned: dict[str, str] = {}
        for theirs, ours in zip(VARIABLE.finditer(shown), VARIABLE.finditer(came), strict=True):
            if theirs[1] is None:
                continue
            known = (self._ours | learned).get(theirs[1])
            is_taken = known is None and ours[0] in {*self._ours.values(), *learned.values()}
            if known not in {None, ours[0]} or is_taken:
                return f"{theirs[0]} of the page is not always the same here: {known}, then {ours[0]}\n{came}"
            learned[theirs[1]] = ours[0]
        self._ours |= learned
        return None

    def _with_ports_of_page(self, text: str) -> str:
        for theirs, ours in self._ours.items():
            if theirs.startswith("127.0.0.1:"):
                text = text.replace(ours, theirs)
        return text


class Terminal:
    """A shell in which somebody types. What runs in it until Ctrl-C is ended by the next command, or at the end."""

    def __init__(self, files: ExitStack, clone: Path, given: dict[str, str]) -> None:
        self._clone = clone
        self._output: IO[bytes] = files.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115 - closed with the stack
        self._given = given
        self._shell: subprocess.Popen[str] | None = None
        self._read = 0
        self._typed = 0
        files.callback(self.end)

    def type(self, command: str, timeout_seconds: float = 30) -> str:
        """Type a command and wait for its end; what it printed."""
        self._typed += 1
        mark = f"<end of {self._typed}>"
        self._send(f"{command}\nprintf '%s' '{mark}'\n")
        until(lambda: self.printed().endswith(mark), timeout_seconds)
        return self.take().removesuffix(mark)

    def start(self, command: str) -> None:
        """Type a command that runs until it is interrupted, after interrupting the one that runs."""
        self.end()
        self._send(f"exec {command}\n")

    def printed(self) -> str:
        """What was printed since somebody looked, and not looked at by this."""
        return Path(self._output.name).read_bytes()[self._read :].decode()

    def take(self) -> str:
        """What was printed since somebody looked."""
        found = self.printed()
        self._read += len(found.encode())
        return found

    def end(self) -> None:
        """End what runs here."""
        if self._shell is not None:
            self._shell.terminate()
            self._shell.communicate(timeout=10)
            self._shell = None

    def _send(self, text: str) -> None:
        if self._shell is None:
            self._shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=self._clone,
                env=environment(self._given),
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert self._shell.stdin is not None
        self._shell.stdin.write(text)
        self._shell.stdin.flush()


class Newcomer:
    """Somebody who has the page beside them and several terminals."""

    def __init__(self, dictionary: Dictionary, open_terminal: Callable[[], Terminal]) -> None:
        self._dictionary, self._open_terminal = dictionary, open_terminal
        self._terminals: dict[str, Terminal] = {}

    def follow(self, block: Block) -> None:
        """Type what a block says, and compare what comes with what it shows."""
        if block.terminal not in self._terminals:
            self._terminals[block.terminal] = self._open_terminal()
        terminal = self._terminals[block.terminal]
        for command, shown in block.steps:
            if command is None:
                self._watch(terminal, shown)
            elif command.startswith(NOT_TYPED):
                continue
            elif block.terminal == "first":
                self._ask(terminal, command, shown)
            else:
                terminal.start(self._env(self._dictionary.command(command)))
                self._watch(terminal, shown)

    def _ask(self, terminal: Terminal, command: str, shown: str) -> None:
        """Type a command and compare its output; what only reads is asked again until it has what is expected."""
        text = self._dictionary.command(command)
        is_reading = " -d " not in command and " -X " not in command and "curl" in command
        deadline = time.monotonic() + 10
        while problem := self._dictionary.problem(shown, terminal.type(text)):
            assert is_reading, f"$ {command}\n{problem}"
            assert time.monotonic() < deadline, f"$ {command}\n{problem}"

    def _watch(self, terminal: Terminal, shown: str) -> None:
        """Wait until a terminal shows as many lines as the page, and compare them."""
        try:
            until(lambda: terminal.printed().count("\n") >= shown.count("\n"), 15)
        except AssertionError:
            pytest.fail(f"The page shows:\n{shown}\nThis came:\n{terminal.printed()}")
        problem = self._dictionary.problem(shown, terminal.take())
        assert problem is None, problem

    @staticmethod
    def _env(command: str) -> str:
        """A command that may begin with variables, as `exec` takes it."""
        return f"env {command}"


@pytest.fixture
def service() -> Generator[Service]:
    """The real server with a worker inside, on a new data directory."""
    with new_data_dir() as directory, serving(directory) as running:
        yield running


def key_of_the_page() -> str:
    found = re.search(r"^\$ KEY=(\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "the page does not say where the key goes"
    return found[1]


@pytest.mark.timeout(180)
def test_everything_on_the_page_can_be_typed_and_comes_out_as_shown(service: Service, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    given = {
        "CUSTOMARY_DATA_DIR": str(service.data_dir),
        "PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}",
    }
    dictionary = Dictionary(
        {
            key_of_the_page(): ":".join(service.key.auth),
            "127.0.0.1:8000": f"127.0.0.1:{service.port}",
            "127.0.0.1:9000": f"127.0.0.1:{(port := free_port())}",
            "receiver.py 9000": f"receiver.py {port}",
            "127.0.0.1:9001": f"127.0.0.1:{(second := free_port())}",
            "receiver.py 9001": f"receiver.py {second}",
            ".venv/bin/customary": f"{sys.executable} -m customary.cli",
        }
    )
    with ExitStack() as files:
        newcomer = Newcomer(dictionary, lambda: Terminal(files, tmp_path, given))
        for block in blocks_of(PAGE):
            newcomer.follow(block)


def test_no_block_of_the_page_is_left_out() -> None:
    """A block that is not found, or in another language, would never be typed."""
    assert PAGE.read_text(encoding="utf-8").count("```") == 2 * len(blocks_of(PAGE))
    typed = [command for block in blocks_of(PAGE) for command, _ in block.steps if command is not None]
    for needed in ("/notifications/policies", "receiver.py", "customary listen", "customary trigger", "replay"):
        assert any(needed in command for command in typed), needed


def test_an_id_that_changes_is_noticed() -> None:
    """The page says that a replay has the id of before: were it a new one, this has to fail."""
    ours = [f"01a1fb32-96e6-7057-8c55-b0ba3e34d79{digit}" for digit in "cd"]
    first, second = (f"msg_00000000-0000-0000-0000-00000000000{digit}" for digit in "12")
    shown = f"event: {first}\nagain: {first}\n"
    assert Dictionary({}).problem(shown, f"event: msg_{ours[0]}\nagain: msg_{ours[0]}\n") is None
    assert Dictionary({}).problem(shown, f"event: msg_{ours[0]}\nagain: msg_{ours[1]}\n") is not None
    assert Dictionary({}).problem(f"{first} {second}", f"msg_{ours[0]} msg_{ours[0]}") is not None
    assert Dictionary({}).problem("version 1", "version 2") is not None
