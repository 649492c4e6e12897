"""Prints when each package of a pylock.toml was released: what requirements/released.toml holds.

    python scripts/released.py pylock.toml

Runs before anything is installed, on the standard library alone.
"""

import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

HEADER = """\
# When the pinned version of each of the service's packages was released, for docs/dependencies.md.
# Written by `make lock`.
"""


def released(package: dict[str, Any]) -> datetime:
    """The time at which the first file of this version was there; a platform's wheel may come much later."""
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    times = [each["upload-time"] for each in files if "upload-time" in each]
    if not times:
        sys.exit(f"The index does not say when {package['name']} {package['version']} was released: use another one.")
    return min(times)


def main(path: Path) -> None:
    """Print one line for each package."""
    print(HEADER, end="")
    for package in tomllib.loads(path.read_text(encoding="utf-8"))["packages"]:
        date = released(package).date()
        print(f'{package["name"]} = {{ version = "{package["version"]}", released = {date} }}')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
