"""What all tests share: one PostgreSQL for each process, and for each test a database and accounts of its own."""

import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from tests.support import canaries, measured
from tests.support import cluster as clusters
from tests.support import published as documents
from tests.support.clients import Account, new_account, started
from tests.support.cluster import Cluster, Database, Databases
from tests.support.published import Published

from customary.app import Application

# The same examples every time: a failure is a change of ours. A shared fixture is fine where examples add to it.
settings.register_profile(
    "customary",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("customary")

# What the background of a shell and `nohup` let the tests ignore would be ignored by all that they start, to the end of
# which such signals belong. To do nothing about a signal is not handed down.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# What goes wrong is printed, so that a failing test shows it; a line for each request would bury it.
canaries.listen(canaries.WATCH)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None]:
    """Fail the test at whose end a log or a metric has personal data or a secret: when all that it started is over."""
    yield
    measured.search_measured(canaries.WATCH)
    canaries.WATCH.check()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The PostgreSQL of this process."""
    with clusters.running() as running, canaries.WATCH.watching(running.log_dir):
        yield running


@pytest_asyncio.fixture(scope="session")
async def databases(cluster: Cluster) -> AsyncIterator[Databases]:
    """The maker of fresh databases."""
    async with Databases.of(cluster) as made:
        yield made


@pytest_asyncio.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    """An empty, migrated database."""
    async with databases.fresh() as fresh:
        yield fresh


@pytest_asyncio.fixture
async def app(database: Database) -> AsyncIterator[Application]:
    """The application on this test's database."""
    async with started(database.service_url) as running:
        yield running


@pytest_asyncio.fixture
async def account(app: Application, database: Database) -> AsyncIterator[Account]:
    """A tenant, and a client with its key."""
    async with new_account(app, database.owner_url, "first") as made:
        yield made


@pytest_asyncio.fixture
async def second_account(app: Application, database: Database) -> AsyncIterator[Account]:
    """Another tenant of the same database."""
    async with new_account(app, database.owner_url, "second") as made:
        yield made


@pytest.fixture
def published() -> Callable[[str], Published]:
    """Gives the published document of a version, or skips the test where it is not at hand."""
    return documents.published
