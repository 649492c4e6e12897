"""The served document of each version is true of what the service does: a short campaign of every kind of request.

`make fuzz` runs the long one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.fuzz import campaign
from tests.fuzz.campaign import Target
from tests.fuzz.service import targets

from customary.api.versions import LIVE

SEED = 1


@pytest.fixture(scope="module")
def served() -> Iterator[Mapping[str, Target]]:
    with targets(users=2) as running:
        yield running


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", LIVE)
def test_no_request_gets_an_answer_that_the_document_does_not_describe(
    served: Mapping[str, Target], version: str, tmp_path: Path
) -> None:
    outcome = campaign.run(served[version], seed=SEED, max_examples=2, is_brief=True, directory=tmp_path)
    assert outcome.is_clean, outcome.output
    assert outcome.cases > 20 * len(LIVE[version].endpoints)
    assert len(outcome.accepted) > len(LIVE[version].endpoints) / 2
