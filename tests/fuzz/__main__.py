"""Fuzz the served documents of all versions: `python -m tests.fuzz [--cases 100000] [--seed 1]`."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.campaign import PHASES, Outcome, Target
from tests.fuzz.service import targets

from customary.api.version import Version
from customary.api.versions import LIVE

CASES = 100_000
SEED = 20240730
_USERS = 10
_WALKS = ("stateful",)
_FIRST_EXAMPLES = 100
_MORE_EXAMPLES = 200
# One walk ends after a few hundred requests, when the service's state no longer fits what was drawn before.
_WALKING_SHARE = 10
_MOST_ROUNDS = 500
# What a customer goes through. Each must be reached by a link and succeed.
_LIFE = {"getCustomersById", "putCustomersById", "postCustomersByIdArchive", "putCustomersByIdArchive"}


def main() -> int:
    """Run the campaigns, print what came of them, and answer the exit status."""
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="customary-fuzz-"))
    began = time.monotonic()
    with targets(*options.version, users=_USERS) as found, ThreadPoolExecutor(len(found)) as pool:
        share = -(-options.cases // len(found))
        running = {
            version: pool.submit(_campaign, version, target, share, options, directory)
            for version, target in found.items()
        }
        ended = {version: future.result() for version, future in running.items()}
    is_full = options.cases >= CASES and not (options.version or options.phases)
    reports = [_report(LIVE[version], outcomes, is_full=is_full) for version, outcomes in ended.items()]
    is_clean = all(reports)
    cases = sum(outcome.cases for outcomes in ended.values() for outcome in outcomes)
    verdict = "nothing found" if is_clean else f"FAILED, see above and {directory}"
    _say(f"{cases} cases in {time.monotonic() - began:.0f} s, seed {options.seed}: {verdict}")
    if is_clean:
        shutil.rmtree(directory)
    return 0 if is_clean else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="how many cases at least, over all versions")
    parser.add_argument("--seed", type=int, default=SEED, help="the same seed makes the same first round")
    parser.add_argument("--version", action="append", default=[], choices=tuple(LIVE), help="only this one")
    parser.add_argument("--phases", help="one round of these phases only, to repeat one; as a round's line has them")
    return parser.parse_args()


def _campaign(version: str, target: Target, share: int, options: argparse.Namespace, directory: Path) -> list[Outcome]:
    """Rounds until there were enough cases and enough of them on walks. A round that finds something is the last."""
    outcomes: list[Outcome] = []
    seed: int = options.seed
    for number, (phases, max_examples, paths) in enumerate(_rounds(outcomes, share, options.phases)):
        outcome = campaign.run(
            target,
            seed=seed + number,
            max_examples=max_examples,
            phases=phases,
            paths=paths,
            directory=directory / f"{version}-{seed + number}",
        )
        outcomes.append(outcome)
        if phases != _WALKS or not outcome.is_clean:
            _say(f"{version}: {outcome.cases} cases, seed {seed + number}, {','.join(phases)}")
        if not outcome.is_clean:
            break
    return outcomes


def _rounds(outcomes: list[Outcome], share: int, only: str | None) -> Iterator[tuple[tuple[str, ...], int, str | None]]:
    """The phases, the number of examples and the paths of each round, as long as there are too few cases."""
    if only is not None:
        phases = tuple(only.split(","))
        yield phases, _FIRST_EXAMPLES if phases == PHASES else _MORE_EXAMPLES, None
        return
    yield PHASES, min(_FIRST_EXAMPLES, max(1, share // _FIRST_EXAMPLES)), None
    walked = 0
    while walked < share // _WALKING_SHARE and len(outcomes) < _MOST_ROUNDS:
        # Every other one stays with the customers, which are what most else hangs on.
        yield _WALKS, _MORE_EXAMPLES, "^/customers" if len(outcomes) % 2 else None
        walked += outcomes[-1].cases
    while sum(outcome.cases for outcome in outcomes) < share and len(outcomes) < _MOST_ROUNDS:
        yield ("fuzzing", "stateful"), _MORE_EXAMPLES, None


def _report(version: Version, outcomes: list[Outcome], *, is_full: bool) -> bool:
    """Print what came of a version's rounds; whether that is as it should be.

    A full campaign has to have got everywhere; a shorter one says where it did not.
    """
    operations = {f"{each.method} {each.path}" for each in version.endpoints}
    ids = {each.operation_id for each in version.endpoints}
    accepted = {operation for outcome in outcomes for operation in outcome.accepted}
    followed = {operation_id for outcome in outcomes for operation_id in outcome.followed}
    cases = sum(outcome.cases for outcome in outcomes)
    _say(
        f"{version.date}: {cases} cases in {len(outcomes)} rounds, seeds {outcomes[0].seed} to {outcomes[-1].seed};"
        f" {len(accepted)} of {len(operations)} operations succeeded, {len(followed)} on what a link led to"
    )
    found = [outcome.output for outcome in outcomes if not outcome.is_clean]
    missed = [f"{version.date}: {operation} never succeeded" for operation in sorted(operations - accepted)]
    missed += [f"{version.date}: {each} was never reached by a link" for each in sorted(_LIFE & ids - followed)]
    for line in (*found, *missed):
        _say(line)
    return not found and not (is_full and missed)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
