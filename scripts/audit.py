"""Asks OSV, with pip-audit, which of the pinned versions have known vulnerabilities.

    python -m scripts.audit [--required] [--service-url URL]

Ends with exit code 1 when there is one that requirements/vulnerabilities.toml does not accept. Where OSV cannot be
reached it says so and ends with 0, so that work can go on without a network; with --required that is a failure too.
An answer holds for the same pins until midnight (UTC).
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from scripts.packages import REQUIREMENTS, ROOT

# The development pins hold those of the service and of the build.
PINS = (REQUIREMENTS / "development.txt", REQUIREMENTS / "compiler.txt")
ACCEPTED = REQUIREMENTS / "vulnerabilities.toml"
REMEMBERED = ROOT / "build" / "audit"
SERVICE_URL = "https://api.osv.dev/v1/query"

TIMEOUT_SECONDS = 20
SOCKET_TIMEOUT_SECONDS = 5

# What pip-audit's last words hold when it was the network, or the service, that failed.
UNREACHABLE = ("requests.exceptions.", "pip_audit._service.", "your network may be blocking this service")


class NotExaminedError(Exception):
    """The service could not be asked, or gave no answer that can be used. The message says which."""


class Vulnerability(msgspec.Struct, frozen=True):
    """One that was found: in which package, under which names, and which versions are free of it."""

    package: str
    version: str
    names: frozenset[str]
    fixed_in: tuple[str, ...]


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why one is tolerated, and until when."""

    id: str
    package: str
    reason: str
    until: date


class _Acceptances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accepted: tuple[Acceptance, ...] = ()


def acceptances(path: Path) -> tuple[Acceptance, ...]:
    """Read the file of what is accepted. Ends the program, with the place, where it is not as it should be."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Acceptances).accepted
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SystemExit(f"{path.name}: {error}. Its first lines show how it is written.") from None


def ask(service_url: str) -> list[dict[str, Any]]:
    """What pip-audit reports of each pin. Raises NotExaminedError."""
    requirements = [word for path in PINS for word in ("--requirement", str(path))]
    command = [sys.executable, "-m", "pip_audit", *requirements, "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--osv-url", service_url, "--timeout", str(SOCKET_TIMEOUT_SECONDS)]
    command += ["--format", "json", "--desc", "off", "--progress-spinner", "off"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)  # noqa: S603 - all of it is ours
    except subprocess.TimeoutExpired:
        raise NotExaminedError(f"it took longer than {TIMEOUT_SECONDS} seconds") from None
    if not ran.stdout.startswith("{"):
        last_words = ran.stderr.strip().rpartition("\n")[2]
        if any(words in last_words for words in UNREACHABLE):
            raise NotExaminedError(last_words.partition(": ")[0])
        raise SystemExit(f"pip-audit failed:\n{ran.stderr}")
    found: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    if skipped := [each["name"] for each in found if "skip_reason" in each]:
        raise NotExaminedError(f"nothing was said about {', '.join(skipped)}")
    return found


def report(service_url: str, today: date, remembered: Path) -> list[dict[str, Any]]:
    """What `ask` says, or said today about the same pins."""
    contents = b"".join(path.read_bytes() for path in PINS)
    kept = remembered / f"{today}-{hashlib.sha256(contents).hexdigest()[:16]}.json"
    if kept.exists():
        return json.loads(kept.read_bytes())
    found = ask(service_url)
    remembered.mkdir(parents=True, exist_ok=True)
    for old in remembered.glob("*.json"):
        old.unlink()
    fresh = kept.with_suffix(".new")
    fresh.write_text(json.dumps(found), encoding="utf-8")
    fresh.rename(kept)
    return found


def vulnerabilities(found: list[dict[str, Any]]) -> list[Vulnerability]:
    """Those that are named in a report."""
    return [
        Vulnerability(
            package=each["name"],
            version=each["version"],
            names=frozenset([known["id"], *known["aliases"]]),
            fixed_in=tuple(known["fix_versions"]),
        )
        for each in found
        for known in each["vulns"]
    ]


def problem(found: Vulnerability, accepted: tuple[Acceptance, ...], today: date) -> str | None:
    """What is wrong, as a sentence; None when it is accepted today."""
    cure = f"Take {' or '.join(found.fixed_in)}" if found.fixed_in else "No release is free of it"
    what = f"{found.package} {found.version} has {', '.join(sorted(found.names))}. {cure}"
    fitting = [each for each in accepted if each.package == found.package and each.id in found.names]
    if not fitting:
        return f"{what}, or say in {ACCEPTED.name} why it can wait."
    over = max(each.until for each in fitting)
    return None if today < over else f"{what}; it was accepted until {over}."


def main(arguments: list[str], *, today: date, remembered: Path = REMEMBERED, accepted: Path = ACCEPTED) -> int:
    """Examine the pins and print one sentence for each finding."""
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    parser.add_argument("--required", action="store_true", help="fail when the service cannot be reached")
    parser.add_argument("--service-url", default=SERVICE_URL, help="another service that speaks as OSV does")
    options = parser.parse_args(arguments)
    accepting = acceptances(accepted)
    try:
        found = report(options.service_url, today, remembered)
    except NotExaminedError as error:
        print(f"The pins were not examined for known vulnerabilities: OSV did not answer ({error}).", file=sys.stderr)
        return 1 if options.required else 0
    known = vulnerabilities(found)
    sentences = [sentence for each in known if (sentence := problem(each, accepting, today)) is not None]
    if sentences:
        print(*sentences, sep="\n", file=sys.stderr)
        return 1
    tolerated = f", and {len(known)} that are accepted" if known else ""
    print(f"{len(found)} pinned packages have no known vulnerability{tolerated}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], today=datetime.now(UTC).date()))
