"""The watch that every test is under: what it finds, where it looks, and that a test that leaks fails."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.support import canaries
from tests.support.bodies import newest, older
from tests.support.canaries import LeakedError, Watch, leaks

ROOT = Path(__file__).parents[2]
PERSONAL = (
    canaries.EMAIL,
    "to=nora+x@mail.example.co.uk;",
    "ada%40example.com",
    canaries.TELEPHONE,
    "tel +493055501",
    "GB980780684",
    "DE136695976",
    "csk_9kZ0aBcDeFgH_0a1b2c",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Authorization: Basic Y2xpZW50OnNlY3JldA==",
    "bearer 0123456789abcdef",
    "postgresql://customary_service:of-the-service@127.0.0.1:5432/customary",
    f"Dear {canaries.PERSON},",
    f"owned by {canaries.COMPANY}.",
    "Invalidenstr. 7",
)
HARMLESS = (
    '{"request_id":"01a1fb32-9e26-712e-b2b6-338d9f9d429d","method":"GET","path":"/customers/{id}","status":200}',
    '{"account_id":"01a1fb31-eea0-70a4-beea-1db2eb7681ca","duration_ms":3.79,"timestamp":"2026-11-20T23:02:40.938016Z"}',
    '{"event":"work_failed","places":["ValueError","/srv/customary/api/reading.py:12 read_body"]}',
    '2026-11-21 04:45:24.292 UTC [10424] LOG:  listening on IPv4 address "127.0.0.1", port 60659',
    "2026-11-21 04:45:24+01:00 [1] LOG:  starting PostgreSQL 18.6 on x86_64-pc-linux-gnu, compiled by gcc 20250110",
    '{"event":"said","reason":"Use the database URL postgresql://user@host:5432/database; Adapter, Academe"}',
)


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch of its own, into which everything is logged meanwhile."""
    made = Watch()
    canaries.listen(made)
    yield made
    canaries.listen(canaries.WATCH)


@pytest.mark.parametrize("text", PERSONAL)
def test_what_is_personal_or_secret_is_found(text: str) -> None:
    found = leaks("a log", f"first line\n... {text} ...\nlast line")
    assert found
    assert all(leak.line.startswith("... ") for leak in found)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_logs_are_for_is_not(text: str) -> None:
    assert leaks("a log", text) == []


def test_the_bodies_that_tests_send_have_what_is_looked_for() -> None:
    for body in (newest(), older()):
        kinds = {leak.kind.partition(" (")[0] for leak in leaks("a body", str(body))}
        assert {"an e-mail address", "a company", "a street"} <= kinds
    assert "a telephone number" in {leak.kind.partition(" (")[0] for leak in leaks("a body", str(older()))}


def test_the_own_log_is_searched_whoever_writes_it(watch: Watch) -> None:
    for write in (
        lambda: structlog.get_logger("customary.api").info("request", path=canaries.EMAIL),
        lambda: structlog.get_logger("customary.api").error("failed", reason=canaries.EMAIL),
        lambda: logging.getLogger("customary.storage.embedded").info(canaries.EMAIL),
        lambda: logging.getLogger("aiohttp.client").warning("%s", canaries.EMAIL),
    ):
        write()
        with pytest.raises(LeakedError, match="the log of this process has an e-mail address"):
            watch.check()
        watch.check()  # it is said once


def test_files_are_searched_as_they_grow(watch: Watch, tmp_path: Path) -> None:
    log = tmp_path / "below" / "postgresql.log"
    log.parent.mkdir()
    (tmp_path / "printed.out").write_text(canaries.EMAIL)
    with watch.watching(tmp_path):
        log.write_text("nothing\n")
        watch.check()
        with log.open("a") as file:
            file.write(f"DETAIL:  Key (value)=({canaries.EMAIL}) already exists.\n")
        with pytest.raises(LeakedError, match=r"postgresql\.log has an e-mail address"):
            watch.check()
        watch.check()
        with log.open("a") as file:
            file.write("at last GB980780684\n")
    with pytest.raises(LeakedError, match="a tax number"):
        watch.check()


def test_any_other_text_can_be_searched(watch: Watch) -> None:
    watch.take("a page of figures", f'requests_total{{name="{canaries.COMPANY}"}} 1')
    with pytest.raises(LeakedError, match="a page of figures has a company"):
        watch.check()


def test_a_test_that_leaks_fails(tmp_path: Path) -> None:
    """Also where what it used ends after it: a fixture of its module, which another test has used before."""
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "5 passed, 3 errors" in ran.stdout, ran.stdout
    for name in ("test_that_leaks", "test_that_measures_it", "test_that_is_the_last_of_its_module"):
        assert f"ERROR at teardown of {name} " in ran.stdout, ran.stdout
    assert "Neither a log nor a metric may have personal data or secrets" in ran.stdout


LEAKING = f"""
import pytest, structlog
from customary.metrics.families import REFUSED
from tests.support.measured import MEASURED

log = structlog.get_logger("customary.test")

@pytest.fixture(scope="module")
def service():
    yield
    log.info("request", method="{canaries.EMAIL}")

def test_that_is_fine():
    log.info("request", status=200)

def test_that_leaks():
    log.info("request", path="{canaries.EMAIL}")

def test_that_measures_it():
    MEASURED.counter(REFUSED, "{canaries.EMAIL}").add()

def test_that_comes_after_it(service):
    log.info("request", status=200)

def test_that_is_the_last_of_its_module(service):
    pass
"""
