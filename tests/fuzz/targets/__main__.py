"""Fuzz what reads a stranger's bytes: `python -m tests.fuzz.targets [NAME ...] [--seconds 60]`."""

import argparse
import base64
import importlib.util
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from tests.fuzz.targets import NAMES
from tests.fuzz.targets.target import named

SECONDS = 60
_ROOT = Path(__file__).parents[3]
_LONGEST_INPUT = 8192  # no URL may be longer
# An input that takes longer is a finding too.
_SLOWEST_SECONDS = 10
_RUNS = re.compile(r"^stat::number_of_executed_units: *(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")
_WRITTEN = re.compile(r"Test unit written to (\S+)")
_SHOWN_LINES = 30


class Outcome(Struct, frozen=True):
    """What came of one target: how many inputs, how many places in the code they reached, and what failed."""

    runs: int
    covered: int
    found: str | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets one after the other, print what came of each, and answer the exit status."""
    options = _options(arguments)
    names: list[str] = options.names or list(NAMES)
    if options.input is not None:
        return _try_again(names[0], base64.b64decode(options.input))
    if importlib.util.find_spec("atheris") is None:
        _say("There is no atheris for this machine, which has to be Linux on x86-64 with CPython 3.11 to 3.13.")
        return 2
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="customary-fuzz-bytes-"))
    total, failed = 0, 0
    for name in names:
        outcome = _run(name, options.seconds, corpus / name)
        total += outcome.runs
        failed += outcome.found is not None
        _say(f"{name}: {outcome.runs} inputs, {outcome.covered} places reached, {outcome.found or 'nothing found'}")
    verdict = f"FAILED in {failed} of {len(names)}" if failed else "nothing found"
    _say(f"{total} inputs for {len(names)} targets, {options.seconds} s each, corpora in {corpus}: {verdict}")
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these targets, of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long for each")
    parser.add_argument("--corpus", type=Path, help="a directory for what was found to be telling, to go on from")
    parser.add_argument("--input", help="try this one input of one target again, as a failure has printed it")
    return parser.parse_args(arguments)


def _try_again(name: str, data: bytes) -> int:
    try:
        named(name).check(data)
    except BaseException:  # noqa: BLE001 - whatever it is is what was asked for
        _say(traceback.format_exc())
        return 1
    _say("This input does no harm.")
    return 0


def _run(name: str, seconds: int, corpus: Path) -> Outcome:
    target = named(name)
    corpus.mkdir(parents=True, exist_ok=True)
    for position, seed in enumerate(target.seeds):
        (corpus / f"seed-{position}").write_bytes(seed)
    words = corpus.parent / f"{name}.words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in (*target.words, b"\0")), encoding="ascii")
    command = [
        *(sys.executable, "-m", "tests.fuzz.targets.instrumented", name, str(corpus), f"-max_total_time={seconds}"),
        *(f"-max_len={_LONGEST_INPUT}", f"-timeout={_SLOWEST_SECONDS}", f"-dict={words}", "-print_final_stats=1"),
        *("-verbosity=1", f"-artifact_prefix={corpus.parent}/{name}-"),
    ]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
    printed = (done.stderr + done.stdout).decode("utf-8", "replace")  # in this order what failed stands at the end
    runs, covered = _RUNS.findall(printed), _COVERED.findall(printed)
    found = _finding(name, printed) if done.returncode or not runs else None
    return Outcome(int(runs[-1]) if runs else 0, int(covered[-1]) if covered else 0, found)


def _finding(name: str, printed: str) -> str:
    """The end of what was printed, and how to see the failure again."""
    lines = ["FAILED", *printed.splitlines()[-_SHOWN_LINES:]]
    for written in _WRITTEN.findall(printed):
        text = base64.b64encode(Path(written).read_bytes()).decode()
        lines.append(f"Again: python -m tests.fuzz.targets {name} --input {text or '='}")
    return "\n".join(lines)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in word)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
