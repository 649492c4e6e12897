"""Sends cases to a server, and says which of them did not come to their verdict."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
from tests.faults.framing import REFUSALS, SMUGGLED, Case, Outcome, exchange

# What a proxy says instead: what it will not forward, and that the server ended a connection without a word.
_REFUSALS_OF_PROXIES = REFUSALS | {422, 502}
_AT_ONCE = 6


def failures(port: int, cases: Iterable[Case], *, is_proxy: bool = False) -> list[str]:
    """The cases that did not come to their verdict at the server, or at the proxy, on this port; and how."""
    numbered = list(enumerate(cases))
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        outcomes = threads.map(lambda each: exchange(port, each[1], each[0]), numbered)
        return [
            f"{case.name}: {', '.join(faults)}; it answered {[answer.status for answer in outcome.own]}"
            for (number, case), outcome in zip(numbered, outcomes, strict=True)
            if (faults := list(_faults(case, number, outcome, is_proxy=is_proxy)))
        ]


def smuggled(client: httpx.Client) -> dict[str, str]:
    """The customers, by their ids, that only a body which was taken for a request can have made; and their names."""
    found: dict[str, str] = {}
    page: dict[str, str | int] = {"limit": 100}
    while True:
        answer = client.get("/customers", params=page).raise_for_status().json()
        found |= {item["id"]: item["legalName"] for item in answer["items"] if item["legalName"].startswith(SMUGGLED)}
        if "after" not in answer["pagination"]:
            return found
        page["after"] = answer["pagination"]["after"]


def _faults(case: Case, number: int, outcome: Outcome, *, is_proxy: bool) -> Iterator[str]:
    if outcome.is_hung:
        yield "the connection did not end"
    is_split = is_proxy and case.is_split
    for answer in outcome.own:
        expected = {b"own-%05d" % number, *([b"smuggled-%05d" % number] if is_split else [])}
        # Refused before it had an id, an answer has none that a client could have sent.
        if answer.request_id.startswith((b"own-", b"smuggled-", b"sentinel-")) and answer.request_id not in expected:
            yield f"an answer to {answer.request_id.decode()}"
    if not is_proxy:
        yield from _wrong_at_the_server(case, outcome)
    elif not case.differs:
        yield from _wrong_at_a_proxy(case, outcome)


def _wrong_at_the_server(case: Case, outcome: Outcome) -> Iterator[str]:
    statuses = tuple(answer.status for answer in outcome.own)
    if outcome.rest:
        yield "an answer that is none"
    if not case.statuses:
        if outcome.has_sentinel or len(statuses) > 1 or not REFUSALS.issuperset(statuses):
            yield "not refused, or not the end of the connection"
    elif statuses != case.statuses:
        yield f"not {case.statuses}"
    elif outcome.has_sentinel == (case.is_last or case.is_cut):
        yield "the next request was lost" if not outcome.has_sentinel else "the connection did not end with it"


def _wrong_at_a_proxy(case: Case, outcome: Outcome) -> Iterator[str]:
    """The verdict is the same. A proxy keeps a client's connection where the server ends its own."""
    statuses = tuple(answer.status for answer in outcome.own)
    if not case.statuses:
        if not _REFUSALS_OF_PROXIES.issuperset(statuses[:1]):
            yield "not refused"
    elif statuses[: len(case.statuses)] != case.statuses or (statuses[len(case.statuses) :] and not case.is_last):
        yield f"not {case.statuses}"
    elif not (outcome.has_sentinel or case.is_last or case.is_cut):
        yield "the next request was lost"
