"""One run of schemathesis against one served document, as a program of its own, and what came of it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
PHASES = ("examples", "coverage", "fuzzing", "stateful")


class Target(Struct, frozen=True):
    """A served document, and the key to be used: `client id:secret`."""

    document_url: str
    credentials: str


class Outcome(Struct, frozen=True):
    """What came of a run.

    `failures` says how often each kind was seen, `accepted` which operations succeeded, and `followed` which of them
    did so on a thing that a link led to.
    """

    seed: int
    cases: int
    seconds: float
    failures: Mapping[str, int]
    errors: Mapping[str, int]
    is_complete: bool
    accepted: frozenset[str]
    followed: frozenset[str]
    output: str

    @property
    def is_clean(self) -> bool:
        """Whether everything was tried and nothing found."""
        return self.is_complete and not self.failures and not self.errors


def run(
    target: Target,
    *,
    seed: int,
    max_examples: int,
    directory: Path,
    phases: tuple[str, ...] = PHASES,
    paths: str | None = None,
    is_brief: bool = False,
) -> Outcome:
    """Run schemathesis to its end. It works and reports in `directory`.

    `paths` is a pattern of those to keep to; a brief run tries fewer values of each kind.
    """
    directory.mkdir(parents=True, exist_ok=True)
    report = directory / "report.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "--no-color"),
        *("run", target.document_url, "--auth", target.credentials),
        *("--phases", ",".join(phases), "--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *("--seed", str(seed), "--max-examples", str(max_examples), "--continue-on-failure", "--warnings", "off"),
        *(("--include-path-regex", paths) if paths else ()),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "FUZZ_CREDENTIALS": target.credentials,
        "PYTHONHASHSEED": "0",
        "COLUMNS": "200",
        **({"FUZZ_BRIEF": "1"} if is_brief else {}),
    }
    with (directory / "output.txt").open("w+", encoding="utf-8") as output:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0)
        printed = output.read()
    if not report.exists():
        raise RuntimeError(printed)
    return _outcome(json.loads(report.read_text(encoding="utf-8")), done.returncode, phases, directory, printed)


def _outcome(report: dict[str, Any], status: int, phases: tuple[str, ...], directory: Path, printed: str) -> Outcome:
    failures = {f"{each['title']} ({', '.join(each['operations'])})": each["count"] for each in report["failures"]}
    operations = report["operations"] or {}
    ran = {
        name.lower() for name, phase in (report["phases"] or {}).items() if phase["status"] in {"success", "failure"}
    }
    return Outcome(
        seed=report["seed"],
        cases=report["test_cases"]["generated"],
        seconds=report["running_time"] or 0.0,
        failures=failures,
        errors={each["title"]: each["count"] for each in report["errors"]},
        # A walk alone goes where its links lead; every other phase tries every operation that it was given.
        is_complete=report["complete"]
        and status == (1 if failures else 0)
        and ran >= set(phases)
        and (phases == ("stateful",) or 0 < operations.get("selected", 0) == operations.get("tested")),
        accepted=_noted(directory / "succeeded.txt"),
        followed=_noted(directory / "followed.txt"),
        output=printed,
    )


def _noted(path: Path) -> frozenset[str]:
    """The lines that the hooks wrote, of which each stands for an operation."""
    return frozenset(path.read_text(encoding="utf-8").splitlines() if path.exists() else ())
