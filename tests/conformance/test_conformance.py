"""Every published operation conforms, and the page that says so is today's."""

from tests.conformance.table import EXPECTED, PAGE, examined, page
from tests.support.cluster import Database
from tests.support.published import published
from tests.wire.test_openapi_against_published import ADDITIONS


async def test_every_published_operation_conforms(database: Database) -> None:
    """119 of 119: the example accepted, its answer valid, the documented refusals given."""
    published("2024-07-30")  # skips where the documents are not at hand
    verdicts = await examined(database)

    assert [verdict for verdict in verdicts if not verdict.is_conformant] == []
    assert len(verdicts) == EXPECTED
    assert page(verdicts, ADDITIONS) == PAGE.read_text(encoding="utf-8"), "run `make conformance` and commit the page"
