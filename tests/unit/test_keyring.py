"""Where a process finds its secret keys, and what it says when it does not."""

from pathlib import Path

import pytest
from tests.support.keys import OTHER_TEXT, TEXT

from customary import keyring
from customary.errors import SetupError
from customary.settings import Settings, from_environment
from customary.storage import embedded_keys


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that name nothing but a data directory."""
    return Settings(data_dir=tmp_path)


def test_the_environment_names_keys_or_their_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{OTHER_TEXT}\n", encoding="utf-8")
    url = "postgresql://localhost/x"
    given = from_environment({"CUSTOMARY_SECRET_KEYS": TEXT, "CUSTOMARY_DATABASE_URL": url})
    assert keyring.required(given).ids == ("k-test",)
    filed = from_environment({"CUSTOMARY_SECRET_KEYS_FILE": str(file), "CUSTOMARY_DATABASE_URL": url})
    assert keyring.required(filed).ids == ("k-other",)
    both = from_environment({"CUSTOMARY_SECRET_KEYS": TEXT, "CUSTOMARY_SECRET_KEYS_FILE": str(file)})
    with pytest.raises(SetupError, match="not both"):
        keyring.required(both)


def test_a_database_of_ones_own_needs_keys_and_the_sentence_names_the_command(tmp_path: Path) -> None:
    """Also where the data directory has some: they belong to another database."""
    embedded_keys.make(tmp_path)
    settings = Settings(data_dir=tmp_path, database_url="postgresql://localhost/x")
    assert keyring.known(settings).ids == ()
    with pytest.raises(SetupError, match=r"CUSTOMARY_SECRET_KEYS_FILE.*customary secrets new-key"):
        keyring.required(settings)


def test_the_file_of_the_data_directory(settings: Settings) -> None:
    """It is closed to others from the first moment, and holds one key."""
    assert keyring.find(settings) is None
    with pytest.raises(SetupError, match="first `customary serve`"):
        keyring.required(settings)
    embedded_keys.make(settings.data_dir)
    file = settings.data_dir / "secret-keys"
    assert [each.name for each in settings.data_dir.iterdir()] == [file.name]
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(keyring.required(settings).ids) == 1


def test_a_file_that_others_can_read_is_refused(settings: Settings) -> None:
    embedded_keys.make(settings.data_dir)
    file = settings.data_dir / "secret-keys"
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        with pytest.raises(SetupError, match="chmod 600"):
            keyring.find(settings)
    file.chmod(0o600)
    assert keyring.find(settings) is not None


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    settings = Settings(data_dir=tmp_path, secret_keys_file=file)
    with pytest.raises(SetupError, match=f"{file} of CUSTOMARY_SECRET_KEYS_FILE cannot be read"):
        keyring.find(settings)


def test_a_broken_file_in_the_data_directory_is_no_missing_one(settings: Settings) -> None:
    """Else a start would make new keys in its place."""
    file = settings.data_dir / "secret-keys"
    for content in (b"", b"# nothing\n", b"\xff"):
        file.write_bytes(content)
        file.chmod(0o600)
        with pytest.raises(SetupError):
            keyring.find(settings)
