"""Places in the code where a test lets the process die, to show that nothing is lost there. Off unless named.

`CUSTOMARY_CRASHPOINT=site` names one, `site:n` lets the process live until its n-th visit there, and a comma divides
several.
"""

import os
import signal

# Every place, so that a test can go through all of them and one that is misspelt is an error.
DELIVERY_SITES = frozenset(
    {
        "claim.before_commit",
        "claim.after_commit",
        "delivery.before_send",
        "delivery.after_send",
        "delivery.before_commit",
        "delivery.after_commit",
    }
)
SERVER_SITES = frozenset(
    {
        "request.before_body",
        "write.before_begin",
        "write.after_claim",
        "write.before_event",
        "write.before_commit",
        "write.after_commit",
        "answer.half_sent",
    }
)
IMPORT_SITES = frozenset({"import.before_commit", "import.after_commit"})
SITES = DELIVERY_SITES | SERVER_SITES | IMPORT_SITES
VARIABLE = "CUSTOMARY_CRASHPOINT"


def visits_left(text: str) -> dict[str, int]:
    """At which visit to which site to die, from the variable's value. Raises `ValueError` for what it cannot be."""
    armed: dict[str, int] = {}
    for each in filter(None, text.split(",")):
        site, _, count = each.partition(":")
        if site not in SITES:
            message = f"{VARIABLE} names '{site}'; there are {', '.join(sorted(SITES))}."
            raise ValueError(message)
        armed[site] = int(count or 1)
    return armed


_left = visits_left(os.environ.get(VARIABLE, ""))


def is_armed(site: str) -> bool:
    """Whether the next visit to this site is the last one: for a place that only exists then."""
    return _left.get(site) == 1


def crashpoint(site: str) -> None:
    """Die here, as by kill -9, if the environment names this site and this visit to it."""
    assert site in SITES  # noqa: S101 - a site that no test would ever visit
    if site in _left:
        _left[site] -= 1
        if _left[site] == 0:
            # For whoever wants to know of what it died; past all buffers, which go with the process.
            os.write(2, b'{"event":"crashpoint","site":"%s"}\n' % site.encode())
            os.kill(os.getpid(), signal.SIGKILL)
