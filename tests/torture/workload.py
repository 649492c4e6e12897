"""What the clients of a torture do: `python -m tests.torture.workload '<Load as JSON>'` is one process of them.

It works until its standard input ends, then finds out what became of everything that it has a key for, and ends. Once a
second it says on its standard output how much it has done. Whatever it does at random comes from its seed.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from tests.support import bodies
from tests.torture.client import Asker, Body, Known, Told, Where
from tests.torture.history import Journal, Kind, Outcome

RACERS, WRITERS = 8, 16
# How long something is tried again under its key, once the work is over and everything is well.
_SETTLING_SECONDS = 60.0
_WRITES_TO_ONE = 100
_PAGE = "/customers?sortBy=createdAt&sortOrder=DESC&limit=30&include=contacts&includeArchived=true"


class Load(Struct, frozen=True, kw_only=True):
    """What one process does: `mixed` sessions each on their own, groups of racers and of writers, one that follows."""

    where: Where
    journal: str
    seed: int
    name: str
    mixed: int = 0
    racing: int = 0
    contending: int = 0
    follows: bool = False


class Crowd:
    """The sessions of one process, and the customers that they know of."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.ending = asyncio.Event()
        self.done: Counter[str] = Counter()
        self.known: list[str] = []
        self._journal = Journal(Path(load.journal))

    def asker(self, name: str) -> Asker:
        """A new session."""
        return Asker(self.load.where, self._journal, f"{self.load.name}-{name}")

    def chance(self, name: str) -> random.Random:
        """The random choices of one session, which do not depend on those of others."""
        return random.Random(f"{self.load.seed} {self.load.name} {name}")  # noqa: S311 - it chooses what to do, and guards nothing

    async def run(self) -> None:
        """Work until it is time to end, and then until nothing under a key is unknown."""
        load = self.load
        sessions: list[Callable[[], Awaitable[None]]] = [Mixed(self, str(number)).run for number in range(load.mixed)]
        sessions += [Race(self, f"race{number}").run for number in range(load.racing)]
        sessions += [Contest(self, f"contest{number}").run for number in range(load.contending)]
        sessions += [Follower(self).run] if load.follows else []
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(_wait(session))
        self._journal.close()

    async def settled(self, chance: random.Random, ask: Callable[[], Awaitable[Told]]) -> Told:
        """Ask the same under its key until it is known what became of it, or it has been tried for too long."""
        over_at: float | None = None
        while not (told := await ask()).is_known:
            if self.ending.is_set():
                over_at = over_at or asyncio.get_running_loop().time() + _SETTLING_SECONDS
                if asyncio.get_running_loop().time() > over_at:
                    break
            await asyncio.sleep(chance.uniform(0.01, 0.1))
        return told


async def _wait(session: Callable[[], Awaitable[None]]) -> None:
    await session()


def _marked(mark: str, **changes: object) -> Body:
    """A customer whose free fields all have this text, so that one of two writes would be seen."""
    address = {**bodies.GERMAN, "line1": mark}
    return bodies.newest(label=mark, address=address, customProperties={"mark": mark}, **changes)


class Mixed:
    """One session that does everything by itself, one thing after another."""

    def __init__(self, crowd: Crowd, name: str) -> None:
        self._crowd = crowd
        self._asker = crowd.asker(name)
        self._chance = crowd.chance(name)
        self._count = 0
        self._tags: dict[str, str] = {}
        self._family: list[str] = []
        self._organization: str | None = None
        self._kept: list[Callable[[], Awaitable[Told]]] = []

    async def run(self) -> None:
        """Work until it is time to end."""
        steps = {
            self._create: 14,
            self._update: 26,
            self._contact: 8,
            self._alias: 7,
            self._archive: 3,
            self._join: 6,
            self._read: 20,
            self._list: 8,
            self._again: 5,
            self._misuse: 3,
        }
        while not self._crowd.ending.is_set():
            (step,) = self._chance.choices(list(steps), list(steps.values()))
            await (step if self._crowd.known else self._create)()
            self._crowd.done["mixed"] += 1
        self._asker.close()

    async def _write(self, kind: Kind, method: str, path: str, body: Body | None = None, **known: Known) -> Told:
        """Ask, with a key or without; nobody asks again what has none, since it may have been done."""
        if self._chance.random() < 0.4:
            told = await self._asker.ask(kind, method, path, body, **known)
            if told.answer.outcome is Outcome.INFO:
                await asyncio.sleep(self._chance.uniform(0.01, 0.1))
            return told
        key = f"{self._asker.session}-{self._count}"

        async def ask() -> Told:
            return await self._asker.ask(kind, method, path, body, key=key, **known)

        self._kept = [*self._kept[-20:], ask]
        return await self._crowd.settled(self._chance, ask)

    def _mark(self) -> str:
        self._count += 1
        return f"{self._asker.session}m{self._count}z"  # no mark is the beginning of another

    def _any(self) -> str:
        """One of the newest customers more often than of the older ones: they meet there."""
        known = self._crowd.known
        return self._chance.choice(known[-12:] if self._chance.random() < 0.7 else known)

    async def _create(self) -> None:
        mark = self._mark()
        told = await self._write(Kind.CREATE, "POST", "/customers", _marked(mark), mark=mark)
        if told.body is None:
            return
        if self._chance.random() < 0.2:
            self._family.append(told.body["id"])  # it will have organisations, which others' ETags would not know of
        else:
            self._crowd.known.append(told.body["id"])

    async def _update(self) -> None:
        mark, customer = self._mark(), self._any()
        path, condition = f"/customers/{customer}", {}
        if self._chance.random() < 0.4:
            if customer not in self._tags:
                await self._read_one(customer)
            if (tag := self._tags.get(customer)) is not None:
                condition = {"if_match": tag}
        told = await self._write(Kind.UPDATE, "PUT", path, _marked(mark), customer=customer, mark=mark, **condition)
        self._remember(customer, told)

    async def _contact(self) -> None:
        mark, customer = self._mark(), self._any()
        body = bodies.contact(email=f"{mark}@example.com", preference="STANDARD")
        await self._write(
            Kind.CONTACT, "POST", f"/customers/{customer}/contacts", body, customer=customer, mark=f"{mark}@"
        )

    async def _alias(self) -> None:
        mark, customer = self._mark(), self._any()
        body = {"customerId": customer, "value": mark}
        await self._write(Kind.ALIAS, "POST", "/customer-aliases", body, customer=customer, mark=mark)

    async def _archive(self) -> None:
        self._count += 1
        customer = self._any()
        await self._write(Kind.ARCHIVE, "POST", f"/customers/{customer}/archive", customer=customer)

    async def _join(self) -> None:
        """Found an organisation, or let the next one join it."""
        self._count += 1
        if len(self._family) < 2:
            await self._create()
        elif self._organization is None:
            owner, member = self._family.pop(), self._family.pop()
            body = {"ownerId": owner, "memberIds": [member]}
            told = await self._write(Kind.JOIN, "POST", "/customer-organizations", body, customer=owner)
            self._organization = told.body["id"] if told.body else None
        else:
            member, organization = self._family.pop(), self._organization
            path, body = f"/customer-organizations/{organization}/members", {"customerIds": [member]}
            await self._write(Kind.JOIN, "POST", path, body, customer=member, mark=organization)
            if self._chance.random() < 0.3:
                self._organization = None

    async def _read(self) -> None:
        await self._read_one(self._any())

    async def _read_one(self, customer: str) -> None:
        told = await self._asker.ask(Kind.READ, "GET", f"/customers/{customer}", customer=customer)
        self._remember(customer, told)

    def _remember(self, customer: str, told: Told) -> None:
        self._tags.pop(customer, None)
        if told.answer.outcome is Outcome.OK and told.answer.etag is not None:
            self._tags[customer] = told.answer.etag

    async def _list(self) -> None:
        await self._asker.ask(Kind.LIST, "GET", _PAGE)

    async def _again(self) -> None:
        """Ask once more what was answered before."""
        if self._kept:
            await self._chance.choice(self._kept)()

    async def _misuse(self) -> None:
        """Ask for something else under a key that was used, which is refused."""
        mark, customer = self._mark(), self._any()
        key = f"{self._asker.session}-{self._count}"
        path, known = f"/customers/{customer}", {"customer": customer, "key": key}

        async def ask() -> Told:
            return await self._asker.ask(Kind.UPDATE, "PUT", path, _marked(mark), mark=mark, **known)

        if (await self._crowd.settled(self._chance, ask)).is_known:
            other = self._mark()
            await self._asker.ask(Kind.UPDATE, "PUT", path, _marked(other), mark=other, **known)


class Race:
    """Eight who send the same request under the same key at the same moment, again and again."""

    def __init__(self, crowd: Crowd, name: str) -> None:
        self._crowd = crowd
        self._askers = [crowd.asker(f"{name}r{number}") for number in range(RACERS)]
        self._chance = crowd.chance(name)
        self._name = self._askers[0].session
        self._customers: list[str] = []
        self._count = 0

    async def run(self) -> None:
        """Race until it is time to end."""
        while not self._crowd.ending.is_set():
            self._count += 1
            await self._once(f"{self._name}m{self._count}z")
        for asker in self._askers:
            asker.close()

    async def _once(self, mark: str) -> None:
        key, kind = f"{self._name}-{self._count}", self._chance.random()
        if not self._customers or kind < 0.2:
            request: tuple[Any, ...] = (Kind.CREATE, "POST", "/customers", _marked(mark))
            known = {"mark": mark}
        else:
            customer = self._customers[-1]
            known = {"customer": customer, "mark": mark}
            request = (Kind.UPDATE, "PUT", f"/customers/{customer}", _marked(mark))
        tolds = await asyncio.gather(*(self._one(asker, key, request, known) for asker in self._askers))
        made = {told.answer.customer for told in tolds if told.answer.customer}
        self._customers = [*self._customers[-3:], *made]

    async def _one(self, asker: Asker, key: str, request: tuple[Any, ...], known: dict[str, str]) -> Told:
        async def ask() -> Told:
            self._crowd.done["races"] += 1
            return await asker.ask(*request, key=key, **known)

        return await self._crowd.settled(self._chance, ask)


class Contest:
    """Sixteen who all want to write over the version of a customer that they have seen, again and again."""

    def __init__(self, crowd: Crowd, name: str) -> None:
        self._crowd = crowd
        self._askers = [crowd.asker(f"{name}w{number}") for number in range(WRITERS)]
        self._chance = crowd.chance(name)
        self._name = self._askers[0].session
        self._count = 0

    async def run(self) -> None:
        """Write until it is time to end, each customer some times."""
        while not self._crowd.ending.is_set():
            customer, tag = await self._new()
            for _ in range(_WRITES_TO_ONE):
                if tag is None or self._crowd.ending.is_set():
                    break
                tag = await self._write(customer, tag)
        for asker in self._askers:
            asker.close()

    async def _new(self) -> tuple[str, str | None]:
        self._count += 1
        mark = f"{self._name}c{self._count}z"

        async def ask() -> Told:
            return await self._askers[0].ask(Kind.CREATE, "POST", "/customers", _marked(mark), key=mark, mark=mark)

        answer = (await self._crowd.settled(self._chance, ask)).answer
        return answer.customer, answer.etag

    async def _write(self, customer: str, tag: str) -> str | None:
        """All write over this version; the tag of what is there then."""
        self._count += 1
        tolds = await asyncio.gather(*(self._one(asker, customer, tag) for asker in self._askers))
        won = [told.answer.etag for told in tolds if told.answer.outcome is Outcome.OK]
        if won:
            return won[0]

        async def ask() -> Told:
            return await self._askers[0].ask(Kind.READ, "GET", f"/customers/{customer}", customer=customer)

        return (await self._crowd.settled(self._chance, ask)).answer.etag

    async def _one(self, asker: Asker, customer: str, tag: str) -> Told:
        mark = f"{asker.session}m{self._count}z"
        self._crowd.done["contended"] += 1
        return await asker.ask(
            Kind.UPDATE, "PUT", f"/customers/{customer}", _marked(mark), customer=customer, mark=mark, if_match=tag
        )


class Follower:
    """One who reads the feed from its beginning, and misses nothing."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._asker = crowd.asker("follower")

    async def run(self) -> None:
        """Read on until it is time to end."""
        after = ""
        while not self._crowd.ending.is_set():
            told = await self._asker.ask(Kind.FEED, "GET", f"/events?limit=100{after}")
            if told.body is not None and told.body["pagination"].get("next"):
                after = f"&after={told.body['pagination']['next']}"
            if told.body is None or not told.body["pagination"]["hasMore"]:
                await asyncio.sleep(0.05)
        self._asker.close()


async def _work(load: Load) -> None:
    crowd = Crowd(load)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def end() -> None:
        await reader.read()
        crowd.ending.set()

    async def tell() -> None:
        while True:
            _say(crowd.done)
            await asyncio.sleep(0.5)

    helpers = [asyncio.create_task(end()), asyncio.create_task(tell())]
    await crowd.run()
    for each in helpers:
        each.cancel()
    _say(crowd.done)


def _say(done: Counter[str]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_work(msgspec.json.decode(sys.argv[1], type=Load)))
