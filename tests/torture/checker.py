"""Compares what clients were told with what the database says. One pass over each thing, so it is linear in both.

`check` looks at all of it:

* what was acknowledged is there, once; what nobody knows of is there at most once; what was refused is not there;
* everything that is there was asked for, and left what it was to leave, whole;
* the versions of a customer have no gap, the last one is what is there now, and each was made by one change;
* one idempotency key stands for one effect, and everybody who used it was told the same, byte for byte;
* a write with If-Match came right after the version that it names, so that two never follow the same one, and where
  nobody else wrote, one of several got through;
* whatever begins after something was seen sees it, or what came later; nothing is seen before it was asked for;
* lists show the states that reads show, and everybody who has to be on a page; the feed has every event once.

The order of versions is known from the database, so nothing has to be searched: every read and write has a place in it.
"""

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct
from tests.torture.history import Answer, Attempt, History, Kind, Outcome, Stored, Version

# What a write may be answered with; anything else is a finding, whatever became of the write.
_YES = frozenset({200, 201})
_NO = frozenset({404, 409, 412, 422})
# What the answer to such a write shows, or is about.
_ANSWERED_BY_CUSTOMER = frozenset({Kind.CREATE, Kind.UPDATE, Kind.ARCHIVE})
# These may find that everything is as they want it, and change nothing.
_MAY_BE_NEEDLESS = frozenset({Kind.ARCHIVE, Kind.JOIN})
_NOT_OF_ARCHIVED = frozenset({Kind.UPDATE, Kind.CONTACT, Kind.ALIAS})

Place: TypeAlias = tuple[str, int]


def _operation(attempt: Attempt) -> str:
    """What is to be done once: all that is asked under one key, or this attempt."""
    return attempt.id if attempt.key is None else f"the key {attempt.key}"


class Found(Struct, frozen=True):
    """What was counted, and a sentence for whatever is not as it must be."""

    problems: list[str]
    counts: Counter[str]


def check(history: History, stored: Stored) -> Found:
    """Look at everything. What is wrong comes back as sentences, each with the ids that it is about."""
    comparison = _Comparison(history, stored)
    comparison.answers()
    comparison.effects()
    comparison.versions()
    comparison.keys()
    comparison.conditions()
    comparison.order()
    comparison.feed()
    comparison.final_list()
    return Found(comparison.problems, comparison.counts)


class _Comparison:
    """A history beside what is stored, with what finds things in both."""

    def __init__(self, history: History, stored: Stored) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._history, self._stored = history, stored
        self._pairs = [(attempt, history.answers[attempt.id]) for attempt in history.attempts.values()]
        self._by_place: dict[Place, Version] = {(each.customer, each.number): each for each in stored.versions}
        self._by_tag = {(each.customer, each.tag): each.number for each in stored.versions}
        self._by_etag = {(each.customer, each.etag): each.number for each in stored.versions}
        self._by_item_tag = {(each.customer, each.item_tag): each.number for each in stored.versions}
        self._by_transaction: dict[int, list[Version]] = defaultdict(list)
        for version in stored.versions:
            self._by_transaction[version.transaction].append(version)
        self._effects: dict[str, list[int]] = defaultdict(list)
        for change in stored.changes:
            self._effects[change.request_id].append(change.transaction)
        self._maker = {change.transaction: change.request_id for change in stored.changes}

    def _wrong(self, sentence: str) -> None:
        self.problems.append(sentence)

    # --- each answer ---------------------------------------------------------------------------------------

    def answers(self) -> None:
        """Nobody got what this service must never say, and 503 says when to come back."""
        for attempt, answer in self._pairs:
            self.counts[f"{attempt.kind} {answer.outcome}"] += 1
            self.counts["replays"] += answer.is_replay
            self.counts["conditional writes"] += attempt.if_match is not None
            self.counts["writes under a key"] += attempt.key is not None
            expected = _YES | (_NO if attempt.kind.is_write else frozenset())
            if answer.status == 503 and not answer.has_retry_after:
                self._wrong(f"{attempt.id} got 503 without Retry-After")
            elif answer.status is not None and answer.status not in expected | {503}:
                self._wrong(f"{attempt.id} ({attempt.kind} {attempt.customer}) was answered with {answer.status}")
            if (answer.status in _YES) is not (answer.outcome is Outcome.OK):
                self._wrong(f"{attempt.id} has the status {answer.status} and is noted as {answer.outcome}")

    # --- effects -------------------------------------------------------------------------------------------

    def effects(self) -> None:
        """What was acknowledged is there, what was refused is not, nothing is there twice, and nobody else wrote."""
        for request_id in self._effects.keys() - self._history.attempts.keys():
            self._wrong(f"the request {request_id}, which nobody sent, changed something")
        of_operation: Counter[str] = Counter()
        for attempt, answer in self._pairs:
            made = self._made(attempt)
            of_operation[_operation(attempt)] += len(made)
            if made:
                self._allowed(attempt, answer)
            for transaction in made:
                self._effect(attempt, answer, transaction)
        for name, count in of_operation.items():
            if count > 1:
                self._wrong(f"{name} is there {count} times")
        for attempt, answer in self._pairs:
            if attempt.kind.is_write and answer.outcome is Outcome.OK and not of_operation[_operation(attempt)]:
                self._needless(attempt, answer)

    def _allowed(self, attempt: Attempt, answer: Answer) -> None:
        """Whether this attempt, which changed something, was to."""
        if not attempt.kind.is_write:
            self._wrong(f"{attempt.id} was to read, and changed something")
        if answer.outcome is Outcome.FAIL:
            self._wrong(f"{attempt.id} was refused with {answer.status}, and is there")
        if answer.is_replay:
            self._wrong(f"{attempt.id} was told what became of an earlier request, and is there itself")

    def _needless(self, attempt: Attempt, answer: Answer) -> None:
        """Acknowledged, and nothing changed: right only where everything was so before it was answered."""
        if attempt.kind in _MAY_BE_NEEDLESS:
            is_archive = attempt.kind is Kind.ARCHIVE
            for version in self._versions_of(attempt.customer):
                is_so = version.is_archived if is_archive else bool(attempt.mark) and attempt.mark in version.text
                maker = self._history.attempts.get(self._maker.get(version.transaction, ""))
                if is_so and maker is not None and maker.at <= answer.at:
                    return
        self._wrong(f"{attempt.id} ({attempt.kind} {attempt.customer}) was acknowledged, and is not there")

    def _versions_of(self, customer: str) -> Iterable[Version]:
        number = 1
        while (version := self._by_place.get((customer, number))) is not None:
            yield version
            number += 1

    def _effect(self, attempt: Attempt, answer: Answer, transaction: int) -> None:
        """What this write left in the customer that it is about."""
        version = self._version_made(attempt, answer, transaction)
        if version is None:
            self._wrong(f"{attempt.id} changed something, and its customer has no version of it")
            return
        before = self._by_place.get((version.customer, version.number - 1))
        if attempt.mark and (attempt.mark not in version.text or (before is not None and attempt.mark in before.text)):
            self._wrong(f"{attempt.id} made version {version.number} of {version.customer}, and its mark is not new")
        if attempt.kind is Kind.ARCHIVE and not version.is_archived:
            self._wrong(f"{attempt.id} was to archive {version.customer}, and did something else")
        if attempt.kind in _NOT_OF_ARCHIVED and before is not None and before.is_archived:
            self._wrong(f"{attempt.id} changed {version.customer}, which was archived")
        is_told = answer.outcome is Outcome.OK and attempt.kind in _ANSWERED_BY_CUSTOMER
        if is_told and answer.seen != ((version.customer, version.tag),):
            self._wrong(f"{attempt.id} was answered by another state than its version {version.number}")

    def _version_made(self, attempt: Attempt, answer: Answer, transaction: int) -> Version | None:
        made = self._by_transaction.get(transaction, [])
        if attempt.kind is Kind.CREATE:
            new = [each for each in made if each.number == 1 and answer.customer in {"", each.customer}]
            return new[0] if len(new) == 1 else None
        return next((each for each in made if each.customer == attempt.customer), None)

    # --- versions ------------------------------------------------------------------------------------------

    def versions(self) -> None:
        """Each customer has its versions without a gap, and is what the last of them says."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for version in self._stored.versions:
            numbers[version.customer].append(version.number)
            if version.transaction not in self._maker:
                self._wrong(f"no change made version {version.number} of {version.customer}")
            if len(set(version.copies)) > 1:
                self._wrong(f"version {version.number} of {version.customer} is of two writes: {version.copies}")
        for customer in numbers.keys() | self._stored.customers.keys():
            found = sorted(numbers[customer])
            number = self._stored.customers.get(customer, 0)
            if not number or found != list(range(1, number + 1)):
                self._wrong(f"customer {customer} is at version {number} with the events {found}")
        for transaction, request_id in self._maker.items():
            if transaction not in self._by_transaction:
                self._wrong(f"{request_id} is in the activity log, and no event tells of it")
        self.counts["customers"], self.counts["events"] = len(self._stored.customers), len(self._stored.versions)

    # --- idempotency keys ----------------------------------------------------------------------------------

    def keys(self) -> None:
        """All answers to one request under one key are the same, byte for byte, and at most one is the first."""
        answered: dict[tuple[str, str], list[tuple[Attempt, Answer]]] = defaultdict(list)
        for attempt, answer in self._pairs:
            # A 409 that says when to come back is about the request that still runs, and is kept for nobody.
            is_kept = answer.outcome is not Outcome.INFO and not answer.has_retry_after
            if attempt.key is not None and is_kept and answer.status != 422:
                answered[attempt.key, attempt.request].append((attempt, answer))
        for (key, _), pairs in answered.items():
            told = {(answer.status, answer.etag, answer.body) for _, answer in pairs}
            if len(told) > 1:
                self._wrong(f"under the key {key} there were {len(told)} different answers")
            first = [attempt.id for attempt, answer in pairs if not answer.is_replay]
            if len(first) > 1:
                self._wrong(f"under the key {key} {' and '.join(first)} were both told to be the first")
        self.counts["keys"] = len({key for key, _ in answered})

    # --- If-Match ------------------------------------------------------------------------------------------

    def conditions(self) -> None:
        """A conditional write follows the version that it names; of several that name the present one, one wins."""
        contended: dict[tuple[str, str], list[tuple[Attempt, Answer]]] = defaultdict(list)
        for attempt, answer in self._pairs:
            if attempt.if_match is None:
                continue
            contended[attempt.customer, attempt.if_match].append((attempt, answer))
            for transaction in self._made(attempt):
                version = self._version_made(attempt, answer, transaction)
                before = version and self._by_place.get((version.customer, version.number - 1))
                if before is None or before.etag != attempt.if_match:
                    self._wrong(f"{attempt.id} was written over another version than the one that it names")
        for (customer, tag), pairs in contended.items():
            self._contest(customer, tag, pairs)

    def _contest(self, customer: str, tag: str, pairs: list[tuple[Attempt, Answer]]) -> None:
        winners = [attempt for attempt, answer in pairs if answer.outcome is Outcome.OK and not answer.is_replay]
        if len(winners) > 1:
            names = " and ".join(attempt.id for attempt in winners)
            self._wrong(f"{names} were both acknowledged over the same version of {customer}")
        self.counts["versions won under contention"] += len(pairs) > 1 and len(winners) == 1
        number = self._by_etag.get((customer, tag))
        if number is None or not all(answer.status == 412 for _, answer in pairs):
            return
        # All were told that it is no longer the present one: then somebody else's must have come after it by then.
        follower = self._by_place.get((customer, number + 1))
        maker = self._history.attempts.get(self._maker.get(follower.transaction, "")) if follower else None
        if maker is None or maker.at > max(answer.at for _, answer in pairs):
            self._wrong(f"nobody could write over version {number} of {customer} while it was the present one")

    # --- real time -----------------------------------------------------------------------------------------

    def order(self) -> None:
        """Whatever begins after something is known to be there sees that or what is later, in every session."""
        timeline: list[tuple[float, bool, str]] = []
        for attempt, answer in self._pairs:
            if answer.outcome is Outcome.OK:
                timeline += [(attempt.at, False, attempt.id), (answer.at, True, attempt.id)]
        timeline.sort()
        known: dict[str, int] = {}
        known_created: list[tuple[float, str]] = []
        for _, is_end, attempt_id in timeline:
            attempt, answer = self._history.attempts[attempt_id], self._history.answers[attempt_id]
            if not is_end:
                self._begins(attempt, answer, known, known_created)
                continue
            for customer, number in self._shown(attempt, answer):
                if customer not in known and (first := self._by_place.get((customer, 1))) is not None:
                    insort(known_created, (first.created_at, customer))
                known[customer] = max(known.get(customer, 0), number)

    def _begins(
        self, attempt: Attempt, answer: Answer, known: dict[str, int], known_created: list[tuple[float, str]]
    ) -> None:
        """Compare what this will see, or make, with what was known when it began."""
        for customer, number in self._shown(attempt, answer):
            if not number:
                self._wrong(f"{attempt.id} ({attempt.kind}) shows a state of {customer} that never was")
                continue
            self._not_from_the_future(attempt, answer, customer, number)
            # A replay tells of the past, and what the feed gives is the past.
            is_past = answer.is_replay or attempt.kind is Kind.FEED
            least = known.get(customer, 0) + bool(self._made(attempt))
            if not is_past and number < least:
                self._wrong(f"{attempt.id} ({attempt.kind}) has version {number} of {customer}, known was {least}")
        if attempt.kind is Kind.LIST:
            missing = known_created[bisect_right(known_created, (answer.oldest, "\uffff")) :]
            shown = {customer for customer, _ in answer.seen}
            for _, customer in missing:
                if customer not in shown:
                    self._wrong(f"{attempt.id} is a list without {customer}, which was there")

    def _shown(self, attempt: Attempt, answer: Answer) -> list[tuple[str, int]]:
        """Which version of which customer this attempt showed or made; 0 for a state that no version has."""
        if attempt.kind is Kind.LIST:
            return [(customer, self._by_item_tag.get((customer, tag), 0)) for customer, tag in answer.seen]
        if attempt.kind is Kind.FEED:
            return [(customer, int(number)) for customer, number in answer.seen]
        if attempt.kind is Kind.READ or (attempt.kind in _ANSWERED_BY_CUSTOMER and not self._made(attempt)):
            return [(customer, self._by_tag.get((customer, tag), 0)) for customer, tag in answer.seen]
        return [
            (version.customer, version.number)
            for transaction in self._made(attempt)
            for version in self._by_transaction.get(transaction, [])
        ]

    def _made(self, attempt: Attempt) -> list[int]:
        return self._effects.get(attempt.id, [])

    def _not_from_the_future(self, attempt: Attempt, answer: Answer, customer: str, number: int) -> None:
        version = self._by_place.get((customer, number))
        maker = self._history.attempts.get(self._maker.get(version.transaction, "")) if version else None
        if maker is None:
            self._wrong(f"{attempt.id} ({attempt.kind}) shows version {number} of {customer}, which nobody made")
        elif maker.at > answer.at:
            self._wrong(f"{attempt.id} ({attempt.kind}) shows what {maker.id} made of {customer} later")

    # --- the feed and the list -----------------------------------------------------------------------------

    def feed(self) -> None:
        """The feed has every event once, each customer's in order, and whoever followed it got the same."""
        feed = self._stored.feed
        everything = {(each.customer, str(each.number)) for each in self._stored.versions}
        if len(feed) != len(set(feed)) or set(feed) != everything:
            self._wrong(
                f"the feed has {len(feed)} events, {len(set(feed) - everything)} of which are none;"
                f" {len(everything - set(feed))} of {len(everything)} are missing"
            )
        last: dict[str, int] = {}
        for customer, number in feed:
            if int(number) != last.get(customer, 0) + 1:
                self._wrong(f"the feed has version {number} of {customer} after {last.get(customer, 0)}")
            last[customer] = int(number)
        followed: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for attempt, answer in self._pairs:
            if attempt.kind is Kind.FEED and answer.outcome is Outcome.OK:
                followed[attempt.session] += answer.seen
        for session, events in followed.items():
            self.counts["events followed"] += len(events)
            if events != feed[: len(events)]:
                self._wrong(f"{session} followed the feed and was given other events than it has")

    def final_list(self) -> None:
        """Walking through all pages shows every customer once, as it is."""
        listed = self._stored.listed
        shown = [customer for customer, _ in listed]
        if len(shown) != len(set(shown)) or set(shown) != self._stored.customers.keys():
            self._wrong(f"all pages have {len(shown)} customers, there are {len(self._stored.customers)}")
        for customer, tag in listed:
            version = self._by_place.get((customer, self._stored.customers.get(customer, 0)))
            if version is not None and version.item_tag != tag:
                self._wrong(f"the list does not show {customer} as its last event does")
