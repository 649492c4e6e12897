"""What campaigns consist of: the usual one, as long as somebody wants it, and the short one of the tests."""

from collections.abc import Iterator

from tests.torture.campaign import Round
from tests.torture.clients import Shape
from tests.torture.installation import Fault
from tests.torture.lives import Life

from customary.crashpoint import SERVER_SITES

# How often something is done for each kill of the server that somebody wants.
DATABASE_KILLS, REQUESTS = 0.3, 100
_AT_EACH_SITE, _LOST_COMMITS = 0.06, 0.2
# The embedded database is started again five times within a minute; then its operator is wanted.
_IN_EMBEDDED_LIFE = 5
_SITES = tuple(sorted(SERVER_SITES))
_CROWDED = (Shape(mixed=2, follows=True), Shape(racing=2), Shape(contending=2))
_AT_ONCE = 25_000


def usual(kills: int) -> Iterator[Round]:
    """The rounds of a campaign of at least so many kills of the server, but for what `races` adds."""
    at_site = -(-int(kills * _AT_EACH_SITE) // 2) or 1
    of_workers = max(1, (kills - 2 * at_site * len(_SITES)) // 8)
    of_database = max(2, int(kills * DATABASE_KILLS))
    losses = max(1, int(kills * _LOST_COMMITS) // 2)
    embedded_lives = max(1, of_database // 3 // (_IN_EMBEDDED_LIFE + 1))
    own = max(1, of_database - 2 * (embedded_lives // 2 or 1) * (_IN_EMBEDDED_LIFE + 1)) // 4 + 1
    few = max(1, own // 8)
    for number in (1, 2):
        yield Round(name=f"sites {number}", lives=tuple(Life(site=site, deaths=at_site) for site in _SITES))
        killed = Life(faults={Fault.WORKER: of_workers})
        frozen = Life(faults={Fault.WORKER: of_workers, Fault.FREEZE: 1})
        yield Round(name=f"workers {number}", lives=(frozen, killed, frozen, killed))
        died = {Fault.DATABASE: own - 2 * few, Fault.BACKEND: few, Fault.POSTMASTER: few, Fault.WORKER: few}
        yield Round(name=f"database {number}", lives=(Life(faults=died),) * 2)
        yield Round(name=f"connections {number}", lives=(_connections(losses),))
        restarted = {Fault.DATABASE: _IN_EMBEDDED_LIFE - 1, Fault.POSTMASTER: 1}
        lives = (Life(faults=restarted, ends_with_all=True),) * (embedded_lives // 2 or 1)
        yield Round(name=f"embedded database {number}", lives=lives, is_embedded=True)


def _connections(losses: int) -> Life:
    few = max(1, losses // 10)
    return Life(
        losses=losses,
        is_through_proxy=True,
        faults={
            Fault.RESET: few,
            Fault.HALF_CLOSE: few,
            Fault.SILENCE: 2,
            Fault.BYTEWISE: 2,
            Fault.SLOW: 2,
            Fault.WORKER: few,
        },
    )


def races(racing: int, contended: int) -> Round:
    """One more round with so many requests of racers and of writers at least, though not too many at once."""
    at_least = {"races": min(racing, _AT_ONCE), "contended": min(contended, _AT_ONCE)}
    shapes = tuple(each for each in _CROWDED if not each.racing or racing > 0 if not each.contending or contended > 0)
    life = Life(faults={Fault.WORKER: 20}, at_least=at_least)
    return Round(name="races", lives=(life,), shapes=shapes)


def short() -> list[Round]:
    """One of each: a death at every site, a kill of everything that can be killed, a lost commit."""
    died = dict.fromkeys((Fault.DATABASE, Fault.BACKEND, Fault.POSTMASTER, Fault.WORKER), 1)
    lives = (
        *(Life(site=site, deaths=1, visits=12) for site in _SITES),
        Life(faults={**died, Fault.RESET: 1, Fault.HALF_CLOSE: 1}, losses=3, is_through_proxy=True),
    )
    return [Round(name="one of each", lives=lives)]
