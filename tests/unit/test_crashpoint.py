"""The places where a process dies on purpose: none unless it is named, at the visit that is named."""

import re
import signal
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from customary import crashpoint
from customary.api.http import Response, send_response

SOURCES = Path(crashpoint.__file__).parent.rglob("*.py")
VISITS = """
import sys
from customary.crashpoint import crashpoint
for visit in range(int(sys.argv[1])):
    crashpoint("write.after_commit")
    crashpoint("claim.after_commit")
"""


def visited(count: int, armed: str | None) -> subprocess.CompletedProcess[bytes]:
    """A process that visits two sites so often."""
    given = {} if armed is None else {crashpoint.VARIABLE: armed}
    return subprocess.run([sys.executable, "-c", VISITS, str(count)], env=given, capture_output=True, check=False)


def test_every_site_is_somewhere() -> None:
    """One that no code visits would be a kill that never happens."""
    named = {site for source in SOURCES for site in re.findall(r'crashpoint\("([^"]+)"\)', source.read_text())}
    assert named == crashpoint.SITES


def test_it_dies_at_the_visit_that_is_named() -> None:
    """And says so; without a number at the first, and of several sites at the one that comes first."""
    assert visited(5, None).returncode == 0
    assert visited(2, "write.after_commit:3").returncode == 0
    assert visited(1, "write.before_commit").returncode == 0
    for count, armed in (
        (3, "write.after_commit:3"),
        (1, "write.after_commit"),
        (3, "claim.after_commit:9,write.after_commit:2"),
    ):
        died = visited(count, armed)
        assert died.returncode == -signal.SIGKILL
        assert died.stderr == b'{"event":"crashpoint","site":"write.after_commit"}\n'


def test_a_misspelt_site_is_an_error() -> None:
    """Nothing would ever die there."""
    assert b"names 'write.after'" in visited(1, "write.after").stderr


async def test_half_of_an_answer_is_sent_only_where_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every body is sent at once."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    def die(_pid: int, number: int) -> None:
        raise SystemExit(number)

    monkeypatch.setattr(crashpoint, "_left", {"answer.half_sent": 2})
    monkeypatch.setattr(crashpoint.os, "kill", die)
    monkeypatch.setattr(crashpoint.os, "write", lambda *_: None)
    await send_response(send, Response(200, b"0123"), is_of_write=True)
    await send_response(send, Response(200, b"4567"))
    with pytest.raises(SystemExit) as died:
        await send_response(send, Response(200, b"89AB"), is_of_write=True)
    assert died.value.code == signal.SIGKILL
    assert [message["body"] for message in sent if "body" in message] == [b"0123", b"4567", b"89"]
