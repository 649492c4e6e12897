"""One life of the service, from its start to the kill that ends it, with what happens to it in between."""

import random
import time
from collections import Counter
from collections.abc import Callable

from msgspec import Struct
from tests.torture.clients import Clients
from tests.torture.installation import Fault, Installation, Own
from tests.torture.proxy import Loss

# Far more than a life takes, also on a machine that others use as well.
_LONGEST_LIFE_SECONDS = 900.0
_LONGEST_PAUSE_SECONDS = 0.4
_LOSS_CHANCE = 0.03


class Life(Struct, frozen=True, kw_only=True):
    """What a life is to have had before it ends.

    `deaths` of workers at `site`, each of which survives up to `visits` there; these faults from outside; so many
    `losses` of a commit; and so much done by the clients, counted from the beginning of their round. It ends by a kill
    of the main process, or of everything there is.
    """

    site: str | None = None
    deaths: int = 0
    visits: int = 25
    faults: dict[Fault, int] = {}
    losses: int = 0
    is_through_proxy: bool = False
    ends_with_all: bool = False
    at_least: dict[str, int] = {}


def live(
    life: Life, installation: Installation, running: Clients, chance: random.Random, on_step: Callable[[], None]
) -> None:
    """Let the service live this life, and kill it. `on_step` is called whenever something may have happened."""
    database = installation.database
    if isinstance(database, Own):
        database.is_through_proxy = life.is_through_proxy
    visits = chance.randint(max(1, life.visits // 2), life.visits)
    installation.start({life.site: visits} if life.site else None)
    share = _Share(life, installation, running)
    while not share.is_had():
        on_step()
        share.give(chance)
        installation.pass_time(chance.uniform(0, _LONGEST_PAUSE_SECONDS))
    if life.ends_with_all:
        installation.kill_everything()
    else:
        installation.kill_main()
    installation.count_fired()


class _Share:
    """What a life still has to have."""

    def __init__(self, life: Life, installation: Installation, running: Clients) -> None:
        self._life, self._installation, self._running = life, installation, running
        self._faults = Counter(life.faults)
        self._deadline = time.monotonic() + _LONGEST_LIFE_SECONDS
        self._before = self._happened()

    def _happened(self) -> tuple[int, int]:
        """How many have died at the site and how many commits have been lost, ever."""
        installation = self._installation
        installation.count_fired()
        lost = installation.database.proxy.counts if isinstance(installation.database, Own) else Counter[str]()
        return installation.done[self._life.site or ""], sum(lost[each] for each in Loss)

    def is_had(self) -> bool:
        """Whether nothing is missing."""
        deaths, losses = (now - before for now, before in zip(self._happened(), self._before, strict=True))
        done = self._running.done()
        self._running.require_alive()
        if isinstance(self._installation.database, Own):
            has_losses_left = losses < self._life.losses
            self._installation.database.proxy.loss_chance = _LOSS_CHANCE if has_losses_left else 0.0
        is_had = (
            not self._faults
            and deaths >= self._life.deaths
            and losses >= self._life.losses
            and all(done[kind] >= count for kind, count in self._life.at_least.items())
            and self._installation.is_whole()
        )
        assert is_had or time.monotonic() < self._deadline, (
            f"after {_LONGEST_LIFE_SECONDS:.0f} s there were {deaths} deaths, {losses} losses, {done}: {self._life}"
        )
        return is_had

    def give(self, chance: random.Random) -> None:
        """One of the faults that are left, if there is one."""
        if self._faults:
            fault = chance.choice(sorted(self._faults.elements()))
            self._faults -= Counter({fault: 1})
            self._installation.suffer(fault)
