"""One target under atheris, as a program of its own: libFuzzer ends the process that it runs in.

python -m tests.fuzz.targets.instrumented NAME [what libFuzzer takes ...]
"""

import sys
from importlib import import_module
from typing import Any

# It is there on Linux alone, and what it has is known to no checker of types.
atheris: Any = import_module("atheris")

# What reads strangers' bytes on the service's behalf is followed too, as far as it is written in Python.
_FOLLOWED = [
    *("customary", "tests"),
    *("aiohttp", "email", "email_validator", "idna", "ipaddress", "publicsuffixlist", "yarl"),
]


def main() -> None:
    """Run until libFuzzer has enough or an input fails."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=_FOLLOWED):
        from tests.fuzz.targets.target import named  # noqa: PLC0415 - what it brings in has to be followed

        target = named(name)
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
