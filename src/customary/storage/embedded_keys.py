"""The secret keys of an embedded database: a file beside it, which the service makes on its first start."""

import stat
from pathlib import Path

from customary.errors import SetupError
from customary.storage.embedded_places import write_private
from customary.storage.secret_keys import new_key

_HEAD = """\
# What secrets in the database are encrypted with, and API secrets hashed. The first key encrypts; all of them decrypt.
# Without this file nobody can read the secrets again and no API key opens anything: back it up, and not only next to
# the database.
"""


def path(data_dir: Path) -> Path:
    """Where the keys of this data directory are."""
    return data_dir / "secret-keys"


def read(data_dir: Path) -> str | None:
    """The keys as `secret_keys.parse` takes them; None before the first start.

    Raises `SetupError` for a file that others may read, or that cannot be read.
    """
    file = path(data_dir)
    try:
        mode = file.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            message = f"Other users may read the keys in {file}. Run: chmod 600 '{file}'"
            raise SetupError(message)
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        message = f"{file} is no text, so there are no keys in it. Restore it from a backup."
        raise SetupError(message) from None


def make(data_dir: Path) -> None:
    """Make the file with a first key, whole or not at all. Only whoever holds the data directory may do that."""
    write_private(path(data_dir), f"{_HEAD}{new_key()}\n".encode())
