"""Writes down what the service is made of: docs/dependencies.md for people, a bill of materials for programs.

    python -m scripts.inventory [--check]

With --check nothing is written: it ends with exit code 1 when either is not what it would write.
"""

import sys
from datetime import timedelta
from pathlib import Path

from packaging.utils import canonicalize_name
from scripts.licences import ALLOWED, is_allowed, licence, names_in
from scripts.packages import ROOT, Bundled, Package, bundled, of_the_service, wanted
from scripts.sbom import sbom

PAGE = ROOT / "docs" / "dependencies.md"
# Its name inside the wheel too, where it is in .dist-info/sboms.
SBOM = ROOT / "requirements" / "customary.cdx.json"

# A package whose newest release is this much older than the newest of all is given up, or done. Which of the two,
# somebody has to have found out.
OLD = timedelta(days=2 * 365)
DONE = {
    "mdurl": "reads and writes the percent signs of Markdown's links, which do not change; it belongs to the project of"
    " `markdown-it-py`, which is kept up",
}

INTRODUCTION = """\
# What the service is made of

Written by `make inventory` from the pins, from what the packages say of themselves, and from when the index says they
were released; `make check` fails when it is out of date. Why the ones that Customary asks for itself were chosen:
[decision 1](decisions/0001-dependencies.md). How they are installed, examined and listed:
[supply-chain.md](supply-chain.md).
"""


def page(packages: list[Package], carried: list[Bundled]) -> str:
    """The page, ready to be written to a file."""
    parts = (INTRODUCTION, _packages(packages), _carried(carried), _licences(packages, carried), _old(packages))
    return "\n".join(parts)


def _packages(packages: list[Package]) -> str:
    ours = {canonicalize_name(each.name) for each in wanted()}
    rows = [
        (
            f"[{package.name}]({package.homepage})",
            package.pin.version,
            str(package.released),
            licence(package),
            ", ".join([*(["Customary"] if package.name in ours else []), *_needed_by(package, packages)]),
        )
        for package in packages
    ]
    heads = ("package", "version", "released", "licence", "needed by")
    return f"## The {len(packages)} packages\n\n{_table(heads, rows)}"


def _needed_by(package: Package, packages: list[Package]) -> list[str]:
    return [each.name for each in packages if package.name in each.needs]


def _carried(carried: list[Bundled]) -> str:
    rows = [(f"[{each.name}]({each.homepage})", each.version, each.licence, each.inside) for each in carried]
    return (
        "## What their wheels carry inside\n\n"
        f"{_table(('program', 'version', 'licence', 'in the wheel of'), rows)}\n"
        "Wheels with compiled Rust name the crates inside them in `.dist-info/sboms`, for each platform its own.\n"
    )


def _licences(packages: list[Package], carried: list[Bundled]) -> str:
    used = names_in(" AND ".join([*(licence(each) for each in packages), *(each.licence for each in carried)]))
    rows = [(name, reason) for name, reason in ALLOWED.items() if name in used]
    return (
        "## The licences\n\nEach may be run together with a program under Apache-2.0, because it\n\n"
        f"{_table(('licence', 'why'), rows)}"
    )


def _old(packages: list[Package]) -> str:
    rows = [f"* `{each.name}` {DONE[each.name]}." for each in too_old(packages) if each.name in DONE]
    return "\n".join(["## Old, and why that is well", "", *rows, ""])


def too_old(packages: list[Package]) -> list[Package]:
    """Packages that were released long before the newest one: given up, unless `DONE` says otherwise."""
    newest = max(each.released for each in packages)
    return [each for each in packages if newest - each.released > OLD]


def problems(packages: list[Package], carried: list[Bundled]) -> list[str]:
    """What has to be settled by somebody before any of it is written."""
    expressions = {each.name: licence(each) for each in packages} | {each.name: each.licence for each in carried}
    refused = [
        f"{name} is under {text}, which is not in ALLOWED of scripts/licences.py."
        for name, text in expressions.items()
        if not is_allowed(text)
    ]
    old = [
        f"{each.name} had its last release on {each.released}. Find out why, and write it into DONE or replace it."
        for each in too_old(packages)
        if each.name not in DONE
    ]
    return refused + old


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: list[str]) -> int:
    """Write both, or say which is out of date."""
    packages, carried = of_the_service(), bundled()
    if found := problems(packages, carried):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    written = {PAGE: page(packages, carried), SBOM: sbom(packages, carried)}
    if arguments == ["--check"]:
        stale = [str(path.relative_to(ROOT)) for path, text in written.items() if not _holds(path, text)]
        if stale:
            print(f"Out of date: {', '.join(stale)}. Run: make inventory", file=sys.stderr)
            return 1
        print(f"{len(packages)} packages run, all under licences that are allowed; the bill of materials is complete.")
        return 0
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
        print(f"Wrote {path.relative_to(ROOT)}.")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
