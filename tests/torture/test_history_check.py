"""What compares a history with the database would see it if something was wrong: one thing is spoilt at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec import Struct
from msgspec.structs import replace
from tests.torture.checker import check
from tests.torture.history import Answer, Attempt, Change, History, Journal, Kind, Line, Outcome, Stored, Version

Field: TypeAlias = Any  # of an Attempt, an Answer or a Version

OK, FAIL, INFO = Outcome.OK, Outcome.FAIL, Outcome.INFO


class Story:
    """A made-up history in which nothing is wrong, and what the database would have then."""

    def __init__(self) -> None:
        self.attempts: dict[str, Attempt] = {}
        self.answers: dict[str, Answer] = {}
        self.versions: list[Version] = []
        self.changes: list[Change] = []
        self._clock = 0.0

    def tick(self) -> float:
        self._clock += 1
        return self._clock

    def begin(self, name: str, kind: Kind, session: str = "s", **known: Field) -> None:
        self.attempts[name] = Attempt(id=name, session=session, kind=kind, at=self.tick(), **known)

    def end(self, name: str, outcome: Outcome = OK, status: int | None = 200, **told: Field) -> None:
        self.answers[name] = Answer(id=name, outcome=outcome, at=self.tick(), status=status, **told)

    def happen(self, name: str, *customers: str, is_archived: bool = False) -> Version:
        """The attempt changes these customers; the last one's new version."""
        transaction = 100 + len(self.changes)
        self.changes.append(Change(request_id=name, transaction=transaction))
        mark = self.attempts[name].mark
        for customer in customers:
            number = self.number(customer) + 1
            state = f"{customer}.{number}"
            version = Version(
                customer=customer,
                number=number,
                transaction=transaction,
                etag=f"e{state}",
                tag=f"t{state}",
                item_tag=f"i{state}",
                text=f"<{mark}>",
                created_at=1000.0 + len({each.customer for each in self.versions} | {customer}),
                is_archived=is_archived,
                copies=(mark, mark),
            )
            self.versions.append(version)
        return self.versions[-1]

    def number(self, customer: str) -> int:
        return max((each.number for each in self.versions if each.customer == customer), default=0)

    def write(
        self, name: str, kind: Kind, customer: str, status: int = 200, *, told: bool = True, **known: Field
    ) -> None:
        """A write that works; with its answer, or with one that never came."""
        self.begin(name, kind, customer="" if kind is Kind.CREATE else customer, mark=f"m{name}z", **known)
        version = self.happen(name, customer)
        if not told:
            return
        is_shown = kind in {Kind.CREATE, Kind.UPDATE}
        self.end(
            name,
            status=status,
            etag=version.etag,
            body=f"b{name}",
            customer=customer if kind is Kind.CREATE else "",
            seen=((customer, version.tag),) if is_shown else (),
        )

    def read(self, name: str, customer: str, number: int) -> None:
        self.begin(name, Kind.READ, customer=customer)
        self.end(name, etag=f"e{customer}.{number}", seen=((customer, f"t{customer}.{number}"),))

    def stored(self) -> Stored:
        return Stored(
            versions=list(self.versions),
            changes=list(self.changes),
            customers={each.customer: self.number(each.customer) for each in self.versions},
            feed=[(each.customer, str(each.number)) for each in self.versions],
            listed=[
                (customer, f"i{customer}.{self.number(customer)}")
                for customer in {each.customer: None for each in self.versions}
            ],
        )


def story() -> Story:
    """Everything that the checker looks at, once at least."""
    told = Story()
    told.write("create", Kind.CREATE, "A", 201, key="k1", request="r1")
    told.begin("again", Kind.CREATE, key="k1", request="r1", mark="mcreatez")
    again: dict[str, Any] = {"etag": "eA.1", "body": "bcreate", "customer": "A", "seen": (("A", "tA.1"),)}
    told.end("again", status=201, is_replay=True, **again)
    told.read("read 1", "A", 1)
    # Two write over the same version: one wins.
    told.begin("loser", Kind.UPDATE, "s2", customer="A", mark="mloserz", if_match="eA.1")
    told.write("winner", Kind.UPDATE, "A", if_match="eA.1")
    told.end("loser", FAIL, 412)
    told.read("read 2", "A", 2)
    told.write("other", Kind.CREATE, "B", 201)
    told.begin("list", Kind.LIST)
    told.end("list", seen=(("B", "iB.1"), ("A", "iA.2")))
    # Its answer was lost, it was tried again under its key, and found to be done.
    told.write("lost", Kind.CONTACT, "B", told=False, key="k2", request="r2")
    told.begin("found", Kind.CONTACT, customer="B", mark="mlostz", key="k2", request="r2")
    told.end("found", status=201, body="blost", is_replay=True)
    told.begin("refused", Kind.UPDATE, customer="B", mark="mrefusedz")
    told.end("refused", FAIL, 409)
    told.begin("busy", Kind.UPDATE, customer="B", mark="mbusyz")
    told.end("busy", INFO, 503, has_retry_after=True)
    told.begin("archive", Kind.ARCHIVE, customer="B")
    version = told.happen("archive", "B", is_archived=True)
    told.end("archive", etag=version.etag, seen=(("B", version.tag),))
    told.begin("archive again", Kind.ARCHIVE, customer="B")
    told.end("archive again", etag=version.etag, seen=(("B", version.tag),))
    told.begin("join", Kind.JOIN, customer="A")
    told.happen("join", "B", "A")
    told.end("join", status=201)
    told.begin("follow", Kind.FEED, "f")
    told.end("follow", seen=(("A", "1"), ("A", "2"), ("B", "1")))
    return told


class Case(Struct):
    """What a spoil may change."""

    attempts: dict[str, Attempt]
    answers: dict[str, Answer]
    stored: Stored

    def attempt(self, name: str, **changes: Field) -> None:
        self.attempts[name] = replace(self.attempts[name], **changes)

    def answer(self, name: str, **changes: Field) -> None:
        self.answers[name] = replace(self.answers[name], **changes)

    def version(self, place: int, **changes: Field) -> None:
        self.stored.versions[place] = replace(self.stored.versions[place], **changes)

    def ask(self, name: str, kind: Kind, at: float, told: dict[str, Any], **known: Field) -> None:
        self.attempts[name] = Attempt(id=name, session="x", kind=kind, at=at, **known)
        self.answers[name] = Answer(id=name, at=at + 0.5, **told)

    def forget(self, request_id: str) -> None:
        """Nothing of what this attempt did is there any more."""
        gone = {each.transaction for each in self.stored.changes if each.request_id == request_id}
        stored = self.stored
        self.stored = replace(
            stored,
            changes=[each for each in stored.changes if each.transaction not in gone],
            versions=[each for each in stored.versions if each.transaction not in gone],
        )

    def do_twice(self, request_id: str, customer: str) -> None:
        last = max((each for each in self.stored.versions if each.customer == customer), key=lambda each: each.number)
        self.stored.versions.append(replace(last, number=last.number + 1, transaction=999, etag="x", tag="x", text="y"))
        self.stored.changes.append(Change(request_id=request_id, transaction=999))
        self.stored.customers[customer] += 1


def _of_the_future(case: Case) -> None:
    case.attempt("read 1", at=0.1)
    case.answer("read 1", at=0.2)


SPOILS: dict[str, tuple[Callable[[Case], object], str]] = {
    "an answer that must not be": (lambda case: case.answer("refused", status=500), "was answered with 500"),
    "503 for ever": (lambda case: case.answer("busy", has_retry_after=False), "without Retry-After"),
    "a note that is none": (lambda case: case.answer("refused", outcome=OK), "noted as ok"),
    "a write that is lost": (lambda case: case.forget("other"), "other (create ) was acknowledged, and is not there"),
    "one that was found done and is not": (lambda case: case.forget("lost"), "found (contact B) was acknowledged"),
    "one that is there twice": (lambda case: case.do_twice("winner", "A"), "winner is there 2 times"),
    "one under a key that is there twice": (lambda case: case.do_twice("found", "B"), "the key k2 is there 2 times"),
    "one that was refused and is there": (lambda case: case.do_twice("refused", "B"), "was refused with 409"),
    "a replay that did it again": (lambda case: case.do_twice("again", "A"), "told what became of an earlier request"),
    "a read that changed something": (lambda case: case.do_twice("read 1", "A"), "was to read, and changed"),
    "one that nobody sent": (lambda case: case.do_twice("ghost", "A"), "which nobody sent, changed something"),
    "one unknown that is there twice": (
        lambda case: (case.do_twice("busy", "B"), case.stored.changes.append(case.stored.changes[-1])),
        "busy is there 2 times",
    ),
    "another write than was asked for": (lambda case: case.version(1, text="<other>"), "its mark is not new"),
    "a write of what was there before": (lambda case: case.version(0, text="<mwinnerz>"), "its mark is not new"),
    "an archiving that was none": (lambda case: case.version(4, is_archived=False), "was to archive B"),
    "a change of what is archived": (lambda case: case.version(0, is_archived=True), "changed A, which was archived"),
    "an answer of another state": (lambda case: case.answer("winner", seen=(("A", "tA.1"),)), "answered by another"),
    "a needless archiving of what is not": (
        lambda case: case.ask("needless", Kind.ARCHIVE, 90, {"outcome": OK, "status": 200}, customer="A"),
        "needless (archive A) was acknowledged",
    ),
    "a change without its event": (lambda case: case.stored.versions.pop(), "is at version 3 with the events [1, 2]"),
    "an event without its change": (lambda case: case.stored.changes.pop(), "no change made version"),
    "a version that is left out": (lambda case: case.version(1, number=3), "with the events [1, 3, 3]"),
    "a customer without an event": (
        lambda case: case.stored.customers.update(C=1),
        "C is at version 1 with the events []",
    ),
    "a row of two writes": (lambda case: case.version(1, copies=("one", "other")), "is of two writes"),
    "an activity without an event": (
        lambda case: case.stored.changes.append(Change(request_id="busy", transaction=77)),
        "no event tells of it",
    ),
    "another answer under a key": (lambda case: case.answer("again", body="x"), "there were 2 different answers"),
    "two first answers under a key": (lambda case: case.answer("again", is_replay=False), "both told to be the first"),
    "a lost update": (lambda case: case.attempt("winner", if_match="eA.0"), "over another version than the one"),
    "two winners": (lambda case: case.answer("loser", outcome=OK, status=200), "both acknowledged over the same"),
    "a version that nobody could follow": (
        lambda case: [
            case.ask(name, Kind.UPDATE, 90, {"outcome": FAIL, "status": 412}, customer="A", if_match="eA.3")
            for name in ("one", "two")
        ],
        "nobody could write over version 3 of A",
    ),
    "a read of the past": (
        lambda case: case.answer("read 2", seen=(("A", "tA.1"),)),
        "has version 1 of A, known was 2",
    ),
    "a read of the future": (_of_the_future, "shows what create made of A later"),
    "a read of what never was": (lambda case: case.answer("read 2", seen=(("A", "t?"),)), "shows a state of A"),
    "a write of the past": (
        lambda case: (case.attempt("winner", at=30), case.answer("winner", at=31)),
        "winner (update) has version 2 of A, known was",
    ),
    "a list of the past": (
        lambda case: case.answer("list", seen=(("B", "iB.1"), ("A", "iA.1"))),
        "list (list) has version 1",
    ),
    "a list without a customer": (lambda case: case.answer("list", seen=(("A", "iA.2"),)), "is a list without B"),
    "a page without a customer": (
        lambda case: case.answer("list", seen=(("A", "iA.2"),), oldest=1001.0),
        "is a list without B",
    ),
    "a feed without an event": (lambda case: case.stored.feed.pop(2), "the feed has"),
    "a feed with one twice": (lambda case: case.stored.feed.append(("A", "1")), "the feed has"),
    "a feed out of order": (
        lambda case: case.stored.feed.insert(0, case.stored.feed.pop(1)),
        "the feed has version 2 of A",
    ),
    "a feed that was another": (lambda case: case.answer("follow", seen=(("A", "1"), ("B", "1"))), "followed the feed"),
    "a last page that is missing": (lambda case: case.stored.listed.pop(), "all pages have 1 customers, there are 2"),
    "an item of the past": (
        lambda case: case.stored.listed.__setitem__(0, ("A", "iA.1")),
        "the list does not show A as its last event does",
    ),
}


def case() -> Case:
    told = story()
    return Case(told.attempts, told.answers, told.stored())


def problems(case: Case) -> list[str]:
    lines: list[Line] = [*case.attempts.values(), *case.answers.values()]
    return check(History.of(lines), case.stored).problems


def test_nothing_is_wrong() -> None:
    """Before anything is spoilt."""
    found = check(History.of([*case().attempts.values(), *case().answers.values()]), case().stored)
    assert found.problems == []
    assert found.counts["replays"] == 2
    assert found.counts["versions won under contention"] == 1
    assert found.counts["create ok"] == 3
    assert found.counts["contact info"] == 1


@pytest.mark.parametrize("name", SPOILS)
def test_what_is_wrong_is_seen(name: str) -> None:
    """And said in a sentence that tells it from all else."""
    spoil, sentence = SPOILS[name]
    spoilt = case()
    spoil(spoilt)
    assert [problem for problem in problems(spoilt) if sentence in problem], problems(spoilt)


def test_a_journal_is_what_was_written(tmp_path: Path) -> None:
    """Also where its writer died in the midst of a line, and before the answer to its last request."""
    journal, told = Journal(tmp_path / "journal"), story()
    for name in ("create", "read 1"):
        journal.begin(told.attempts[name])
        journal.sync()
        journal.end(told.answers[name])
    journal.begin(told.attempts["busy"])
    journal.close()
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"type":"answer","id":"bu')
    history = History.read([tmp_path / "journal"])
    assert list(history.attempts.values()) == [told.attempts[name] for name in ("create", "read 1", "busy")]
    assert history.answers["read 1"] == told.answers["read 1"]
    assert (history.answers["busy"].outcome, history.answers["busy"].at) == (Outcome.INFO, float("inf"))
