"""Programs whose clock is wrong."""

from collections.abc import Mapping
from pathlib import Path

import pytest

_LIBRARIES = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
NEEDED = pytest.mark.skipif(not _LIBRARIES, reason="needs the Debian package libfaketime")


def shifted(by: str) -> Mapping[str, str]:
    """The environment of a program whose clock goes as it should and is off by this much, such as +1d."""
    return {"LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME": by}


def settable(file: Path) -> Mapping[str, str]:
    """The environment of a program whose clock is off by what this file says at the moment."""
    return {
        "LD_PRELOAD": str(_LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
