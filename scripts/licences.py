"""Under which licences the packages are: one SPDX expression for each, and whether this project may use it."""

import re

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from scripts.packages import Package

# Each with the reason why a program under Apache-2.0 may be run, and handed on, together with it.
ALLOWED = {
    "Apache-2.0": "this project's own",
    "BSD-2-Clause": "asks for its notice, which the wheel keeps",
    "BSD-3-Clause": "asks for its notice, which the wheel keeps",
    "ISC": "asks for its notice, which the wheel keeps",
    "LGPL-2.1-only": "a library of its own file, used unchanged and replaceable by whoever runs it",
    "LGPL-2.1-or-later": "a library of its own file, used unchanged and replaceable by whoever runs it",
    "MIT": "asks for its notice, which the wheel keeps",
    "MIT-0": "asks for nothing",
    "MPL-2.0": "reaches no further than its own files, which are used unchanged",
    "PSF-2.0": "asks for its notice, which the wheel keeps",
    "PostgreSQL": "asks for its notice, which the wheel keeps",
    "Unlicense": "asks for nothing",
}

# Packages whose metadata says it only in words: what they say, and what is meant in SPDX's terms. Where a classifier
# leaves open which licence of that family it is, the licence's text in the wheel has been read.
MEANT = {
    "aiosignal": ("Apache 2.0", "Apache-2.0"),
    "jinja2": ("License :: OSI Approved :: BSD License", "BSD-3-Clause"),
    "markdown-it-py": ("License :: OSI Approved :: MIT License", "MIT"),
    "mdurl": ("License :: OSI Approved :: MIT License", "MIT"),
    "python-stdnum": ("LGPL", "LGPL-2.1-or-later"),
    "uvloop": ("MIT License", "MIT OR Apache-2.0"),
}


def licence(package: Package) -> str:
    """The SPDX expression. Raises ValueError when the package says nothing that can be understood."""
    stated = package.licence_expression or package.licence_text
    if is_spdx(stated):
        return stated
    said, meant = MEANT.get(package.name, (None, ""))
    if said is None or said not in {package.licence_text, *package.licence_classifiers}:
        raise ValueError(
            f"{package.name} {package.pin.version} says of its licence: {stated!r}, {package.licence_classifiers}. "
            "Read the licence in its wheel and write what it is into scripts/licences.py."
        )
    return meant


def is_spdx(text: str) -> bool:
    """Whether this is an expression of licences that SPDX knows, written as SPDX writes them."""
    try:
        return canonicalize_license_expression(text) == text
    except InvalidLicenseExpression:
        return False


def is_allowed(expression: str) -> bool:
    """Whether every licence that has to be kept to, one of each choice, is allowed; AND binds closer than OR.

    An expression with parentheses or exceptions is not: no package has needed one so far, and somebody should read it.
    """
    return any(all(each in ALLOWED for each in choice.split(" AND ")) for choice in expression.split(" OR "))


def names_in(expression: str) -> set[str]:
    """The licences that are named."""
    return set(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR", "WITH"}
