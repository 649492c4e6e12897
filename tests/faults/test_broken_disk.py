"""The disk of the embedded database fails to keep what it was given, or changes it."""

import asyncio
import os
import time
from pathlib import Path
from uuid import UUID

import httpx
from tests.faults.support import Key, Service, data_dir, database_processes, serving, until
from tests.faults.support_embedded import broken_pages, damage, said, urls
from tests.faults.support_load import loaded
from tests.faults.support_postgresql import Place, Server, running
from tests.faults.support_trace import NEEDED, failing
from tests.support import bodies
from tests.support.clients import owner_connection
from tests.support.keys import TEXT
from tests.torture.clients import new_tenant

__all__ = ["data_dir"]

PAGE_BYTES = 8192
LABEL = "a label that takes some room" * 8

WITH_KEYS = {"CUSTOMARY_SECRET_KEYS": TEXT}
# The calls by which PostgreSQL puts its log of changes on the disk, and what it says when they fail.
CALLS = {
    "fdatasync,fsync": "PANIC:  could not fdatasync file",
    "pwrite64,pwritev": "PANIC:  could not write to log file",
}


@NEEDED
def test_a_disk_that_fails(data_dir: Path, tmp_path: Path) -> None:
    """PostgreSQL ends when its log cannot be written. It comes back by itself, and nothing acknowledged is lost."""
    with serving(data_dir, given=WITH_KEYS) as service:
        owner, admin = urls(data_dir)
        with loaded(service, owner, tmp_path) as load:
            for calls, panic in CALLS.items():
                with failing(calls, "EIO", database_processes(data_dir)):
                    until(lambda panic=panic: panic in said(data_dir))
                assert load.watch.well_after(time.monotonic()) < 15
            load.check()
        assert damage(admin) == []
    assert broken_pages(data_dir) == ""


def test_a_changed_page(tmp_path: Path) -> None:
    """Whoever asks for a customer in a page that was changed is told that it is our fault, and gets nothing of it.

    Others are answered as before, of the same account and of another. The operator is told what to do.
    """
    # A table of a few pages would be read as a whole; one of a real size is not.
    with running(18, Place(settings=("enable_seqscan=off",))) as server:
        url = asyncio.run(server.migrated())
        with serving(tmp_path / "none", "--database-url", url, given=WITH_KEYS) as service:
            mine, strange = (new_key(url, name) for name in ("mine", "strange"))
            stranger, whole, *_, damaged = create(service, strange, 1) + create(service, mine, 30)
            place = asyncio.run(page_of(url, damaged))
            asyncio.run(server.run("ANALYZE", "SELECT 1", database=url.rpartition("/")[2]))
            asyncio.run(server.run("CHECKPOINT", "SELECT 1"))  # so that no recovery puts the page right
            server.stop()
            change_page(server, place)
            server.start()
            until(service.is_ready)
            for _ in range(2):
                assert ask(service, strange, stranger).status_code == 200
                assert ask(service, mine, whole).status_code == 200
                answer = ask(service, mine, damaged)
                assert answer.status_code == 500
                assert answer.json()["error"].keys() == {"type", "message"}
                assert answer.json()["error"]["type"] == "internalError"
                assert LABEL not in answer.text
            [alarm] = [line for line in service.log() if line["event"] == "database_damaged"]
    assert alarm["level"] == "critical"
    assert "invalid page in block" in alarm["found"]
    assert "restore a backup" in alarm["advice"]


def new_key(url: str, name: str) -> Key:
    """A key of a new account."""
    tenant = asyncio.run(new_tenant(url, name))
    return Key(tenant.client_id, tenant.secret)


def create(service: Service, key: Key, count: int) -> list[str]:
    """The ids of so many new customers, of whom not many fit in a page."""
    with service.client(key) as client:
        made = [client.post("/customers", json=bodies.newest(label=LABEL)) for _ in range(count)]
    assert {answer.status_code for answer in made} == {201}
    return [answer.json()["id"] for answer in made]


def ask(service: Service, key: Key, customer_id: str) -> httpx.Response:
    """What is answered to who wants to see this customer."""
    with service.client(key) as client:
        return client.get(f"/customers/{customer_id}")


async def page_of(url: str, customer_id: str) -> tuple[str, int]:
    """The file in which a customer is kept, and the number of the page."""
    async with owner_connection(url) as owner:
        found = await owner.fetchrow(
            "SELECT pg_relation_filepath('customers') AS file, (ctid::text::point)[0]::int AS page"
            "  FROM customers WHERE id = $1",
            UUID(customer_id),
        )
    assert found is not None
    assert found["page"] > 0, "it shares the page of those who came first"
    return found["file"], found["page"]


def change_page(server: Server, place: tuple[str, int]) -> None:
    """Change one bit of what is in this page."""
    file, page = place
    with (server.data / file).open("r+b") as content:
        content.seek(page * PAGE_BYTES + PAGE_BYTES - 100)
        byte = content.read(1)[0]
        content.seek(-1, os.SEEK_CUR)
        content.write(bytes([byte ^ 1]))
