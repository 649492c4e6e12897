"""Places in the code where a test lets the process die, to show that nothing is lost there. Off unless named."""

import os
import signal

# Every place, so that a test can go through all of them and one that is misspelt is an error.
SITES = frozenset(
    {
        "claim.before_commit",
        "claim.after_commit",
        "delivery.before_send",
        "delivery.after_send",
        "delivery.before_commit",
        "delivery.after_commit",
    }
)
VARIABLE = "CUSTOMARY_CRASHPOINT"

_armed = os.environ.get(VARIABLE)


def crashpoint(site: str) -> None:
    """Die here, as by kill -9, if the environment names this site."""
    assert site in SITES  # noqa: S101 - a site that no test would ever visit
    if site == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
