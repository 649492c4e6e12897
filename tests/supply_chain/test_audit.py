"""The examination for known vulnerabilities, against a service of our own on the loopback interface."""

import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripts import audit

TODAY = date(2026, 11, 21)
KNOWN = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-1"],
    "summary": "It says too much.",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "example", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}],
        }
    ],
}
Answer = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


class Examined:
    """What the command says about one pinned package, `example`, with files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pins = folder / "pins.txt"
        self.pins.write_text(f"example==1.0 --hash=sha256:{'0' * 64}\n")
        self.accepted = folder / "accepted.toml"
        self.accept()

    def accept(self, **entry: Any) -> None:  # noqa: ANN401 - what TOML can say
        lines = [f"{name} = {value if isinstance(value, date) else json.dumps(value)}" for name, value in entry.items()]
        self.accepted.write_text("\n".join(["[[accepted]]", *lines]) if entry else "")

    def main(self, url: str, *options: str, today: date = TODAY) -> int:
        arguments = ["--service-url", url, *options]
        return audit.main(arguments, today=today, remembered=self.folder / "remembered", accepted=self.accepted)


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examined:
    found = Examined(tmp_path)
    monkeypatch.setattr(audit, "PINS", (found.pins,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return found


@contextmanager
def service(answer: Answer) -> Generator[str]:
    """Answer as OSV does, until the block ends; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def saying(body: bytes, status: int = 200) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def nowhere() -> str:
    """The address of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


Said = pytest.CaptureFixture[str]


def test_pins_without_a_known_vulnerability_pass_and_are_not_asked_about_again_that_day(
    examined: Examined, capsys: Said
) -> None:
    """The next day, or with other pins, the service is asked again."""
    questions: list[dict[str, Any]] = []

    def answer(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
        questions.append(question)
        saying(b"{}")(handler, question)

    with service(answer) as url:
        assert examined.main(url) == examined.main(url, "--required") == 0
        assert questions == [{"package": {"name": "example", "ecosystem": "PyPI"}, "version": "1.0"}]
        assert capsys.readouterr().out == "1 pinned packages have no known vulnerability.\n" * 2
        assert examined.main(url, today=date(2026, 11, 22)) == 0
        assert len(questions) == 2
        examined.pins.write_text(f"example==1.0.1 --hash=sha256:{'0' * 64}\n")
        assert examined.main(url, today=date(2026, 11, 22)) == 0
        assert [each["version"] for each in questions] == ["1.0", "1.0", "1.0.1"]
    assert len(list((examined.folder / "remembered").iterdir())) == 1


def test_a_known_vulnerability_fails_until_it_is_accepted_and_again_when_that_is_over(
    examined: Examined, capsys: Said
) -> None:
    with service(saying(json.dumps({"vulns": [KNOWN]}).encode())) as url:
        assert examined.main(url) == 1
        said = capsys.readouterr()
        assert "example 1.0 has CVE-2026-1, GHSA-aaaa-bbbb-cccc. Take 1.0.1, or say in vuln" in said.err
        for name in ("CVE-2026-1", "GHSA-aaaa-bbbb-cccc"):
            examined.accept(id=name, package="example", reason="Not reached.", until=date(2026, 12, 1))
            assert examined.main(url) == 0
        assert "and 1 that are accepted" in capsys.readouterr().out
        examined.accept(id="CVE-2026-2", package="example", reason="Another one.", until=date(2026, 12, 1))
        assert examined.main(url) == 1
        examined.accept(id="CVE-2026-1", package="another", reason="Another one.", until=date(2026, 12, 1))
        assert examined.main(url) == 1
        examined.accept(id="CVE-2026-1", package="example", reason="Not reached.", until=TODAY)
        capsys.readouterr()
        assert examined.main(url) == 1
        assert "it was accepted until 2026-11-21." in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer", [saying(b"", status=503), saying(b"<html>Please log in.</html>")], ids=["overloaded", "a login page"]
)
def test_a_service_that_gives_no_proper_answer_is_no_failure(examined: Examined, capsys: Said, answer: Answer) -> None:
    with service(answer) as url:
        assert examined.main(url) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("The pins were not examined for known vulnerabilities: OSV did not answer (")
    assert said.err.count("\n") == 1
    assert not (examined.folder / "remembered").exists()


def test_without_a_network_the_check_goes_on_unless_the_answer_is_required(examined: Examined, capsys: Said) -> None:
    assert examined.main(nowhere()) == 0
    assert examined.main(nowhere(), "--required") == 1
    assert capsys.readouterr().err.count("The pins were not examined") == 2


def test_a_service_that_hangs_is_not_waited_for(
    examined: Examined, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "TIMEOUT_SECONDS", 2)
    is_over = threading.Event()

    def hang(_handler: BaseHTTPRequestHandler, _question: dict[str, Any]) -> None:
        is_over.wait(60)

    with service(hang) as url:
        assert examined.main(url) == 0
        is_over.set()
    assert "it took longer than 2 seconds" in capsys.readouterr().err


def test_pins_that_cannot_be_read_are_a_failure(examined: Examined) -> None:
    """What went wrong here is not taken for a network that is down."""
    examined.pins.write_text("example==1.0\n")
    with pytest.raises(SystemExit, match="pip-audit failed"):
        examined.main(nowhere())


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "CVE-2026-1", "package": "example", "until": date(2026, 12, 1)},
        {"id": "CVE-2026-1", "package": "example", "reason": "", "until": "soon"},
        {"id": "CVE-2026-1", "package": "example", "reason": "x", "until": date(2026, 12, 1), "severity": "low"},
    ],
    ids=["without a reason", "without a date", "with something else"],
)
def test_what_is_accepted_needs_a_reason_and_a_date(examined: Examined, entry: dict[str, Any]) -> None:
    examined.accept(**entry)
    with pytest.raises(SystemExit, match="accepted"):
        examined.main(nowhere())


def test_the_file_of_what_is_accepted_can_be_read() -> None:
    for each in audit.acceptances(audit.ACCEPTED):
        assert each.reason
