"""The versions that are live: the one place to add or to retire one. No version imports another."""

from customary.api.tables import Columns
from customary.api.version import Version
from customary.api.versions.v2024_01_01 import VERSION as V2024_01_01
from customary.api.versions.v2024_05_09 import VERSION as V2024_05_09
from customary.api.versions.v2024_07_30 import VERSION as V2024_07_30
from customary.api.versions.v2024_07_30 import transfer
from customary.errors import UnknownVersion

LIVE: dict[str, Version] = {version.date: version for version in (V2024_01_01, V2024_05_09, V2024_07_30)}
NEWEST = V2024_07_30
# How customers are written in files and read from them: as the newest version has them.
read_row = transfer.read_row
COLUMNS = Columns(transfer.FIELDS, transfer.TEXTS, transfer.ADDRESS_FIELDS)


def named(values: list[bytes] | None) -> Version | None:
    """The version that a request's `Sequence-Version` headers ask for; None without any.

    Raises `UnknownVersion` for one that does not exist and for a header repeated with different values.
    """
    if values is None:
        return None
    found = LIVE.get(values[0].decode("latin-1").strip()) if len(set(values)) == 1 else None
    if found is None:
        message = "No matching API version found. Please make sure the specified API version is valid."
        raise UnknownVersion(message)
    return found


def of_event(api_version: str) -> Version:
    """The version in whose form an event is sent.

    Raises `UnknownVersion` for one that is not live. Another version would be no way out: whoever reads in one would
    misread the other, and never know it.
    """
    version = LIVE.get(api_version)
    if version is None:
        message = (
            f"There is no API version '{api_version}' any more, so nothing can be written in its form. Make what asks"
            f" for it anew in one of: {', '.join(LIVE)}."
        )
        raise UnknownVersion(message)
    return version
