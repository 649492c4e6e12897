"""Where the secret keys of a process come from: the environment, a file, or the data directory."""

import asyncio
from pathlib import Path

from customary.errors import SetupError
from customary.operations.encryption import encrypt_plain, rows_by_key
from customary.settings import PREFIX, Settings
from customary.storage import api_keys, embedded_keys, encrypted_rows
from customary.storage.database import Database
from customary.storage.secret_keys import NO_KEYS, KeyRing, parse


def required(settings: Settings) -> KeyRing:
    """The keys of this installation. Raises `SetupError` where there are none, saying which command makes one."""
    text = find(settings)
    if text is None:
        message = (
            f"There are no secret keys. Give them in {PREFIX}SECRET_KEYS, or name their file in"
            f" {PREFIX}SECRET_KEYS_FILE; keep them apart from the database. This makes one: customary secrets new-key"
        )
        if settings.database_url is None:
            file = embedded_keys.path(settings.data_dir)
            message = f"There are no secret keys in {file} yet; the first `customary serve` makes them."
        raise SetupError(message)
    return parse(text)


def known(settings: Settings) -> KeyRing:
    """The keys as far as there are any. Raises `SetupError` for what is there and cannot be used."""
    text = find(settings)
    return NO_KEYS if text is None else parse(text)


def find(settings: Settings) -> str | None:
    """The text of the keys, None where there are none. Raises `SetupError` for what is there and cannot be used."""
    if settings.secret_keys is not None and settings.secret_keys_file is not None:
        message = f"Give either {PREFIX}SECRET_KEYS or {PREFIX}SECRET_KEYS_FILE, not both."
        raise SetupError(message)
    text = settings.secret_keys
    if settings.secret_keys_file is not None:
        text = _text_of(settings.secret_keys_file)
    elif text is None and settings.database_url is None:
        text = embedded_keys.read(settings.data_dir)
    if text is not None:
        parse(text)
    return text


def prepare(settings: Settings, service_url: str) -> str:
    """The text of the keys for the processes of a server, after everything in the database is encrypted with them.

    Raises `SetupError` where there are no keys, and `Unavailable` while the database cannot answer.
    """
    keys = first_use(settings, service_url)
    asyncio.run(_encrypt_plain(service_url, keys))
    return str(find(settings))


def first_use(settings: Settings, url: str) -> KeyRing:
    """The keys for whoever may be the first to need some: with the embedded database, the first key is made here.

    Raises `SetupError` where there are none, or where they were lost, and `Unavailable` while the database cannot
    answer.
    """
    if settings.database_url is None and find(settings) is None:
        asyncio.run(_require_nothing_encrypted(settings.data_dir, url))
        embedded_keys.make(settings.data_dir)
    return required(settings)


async def _require_nothing_encrypted(data_dir: Path, service_url: str) -> None:
    """Raise `SetupError` where the keys were lost: a new one would be taken for them, and open nothing."""
    database = await Database.open(service_url, pool_size=1, keys=NO_KEYS)
    try:
        async with database.without_tenant() as connection:
            rows = rows_by_key(await encrypted_rows.by_key(connection))
            needed = {*rows, *(need.key_id for need in await api_keys.needs(connection))}
    finally:
        database.close()
    lost = sorted(key_id for key_id in needed if key_id is not None)
    if lost:
        file = embedded_keys.path(data_dir)
        message = (
            f"{file} is gone, and secrets in the database need its keys: {', '.join(lost)}."
            " Restore the file from a backup. If it is lost for good, put what `customary secrets new-key` prints into"
            " a new file there, with the mode 600; then give each API key a new secret with `customary keys rotate`,"
            " and each notification policy too."
        )
        raise SetupError(message)


async def _encrypt_plain(service_url: str, keys: KeyRing) -> None:
    database = await Database.open(service_url, pool_size=1, keys=keys)
    try:
        await encrypt_plain(database)
    finally:
        database.close()


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        message = f"The file {file} of {PREFIX}SECRET_KEYS_FILE cannot be read: {reason}."
        raise SetupError(message) from None
