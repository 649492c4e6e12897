"""How far a campaign is: a bar where somebody watches, plain lines where a file does."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_PAUSE_SECONDS = 30.0


class Teller:
    """Says what happens on `console`. Without a terminal it says where it is twice a minute."""

    def __init__(self, console: Console, bar: Progress | None, task: TaskID | None) -> None:
        self._console, self._bar, self._task = console, bar, task
        self._said_at = time.monotonic()

    def say(self, line: str) -> None:
        """A line to keep."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, done: int, state: str) -> None:
        """So many of those kills that there are to be, and how things are."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, state=state)
        elif time.monotonic() > self._said_at + _PAUSE_SECONDS:
            self._said_at = time.monotonic()
            self.say(f"  {done} kills so far, {state}")


@contextmanager
def telling(goal: int, *, to_errors: bool) -> Generator[Teller]:
    """Tell of a campaign with so many kills, on the standard output or beside it."""
    console = Console(file=sys.stderr if to_errors else sys.stdout)
    if not console.is_terminal:
        yield Teller(console, None, None)
        return
    columns = (TextColumn("{task.completed}/{task.total} kills"), BarColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        yield Teller(console, bar, bar.add_task("", total=goal, state=""))
