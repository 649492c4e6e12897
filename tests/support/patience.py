"""Time for tests that ask in which order things happen: on a busy machine they wait, and are not sent away with 503."""

import pytest

from customary.storage import database

PATIENT_SECONDS = 8.0


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a request of this test wait longer for a connection and for a row than the service lets anybody wait."""
    monkeypatch.setattr(database, "ACQUIRE_TIMEOUT_SECONDS", PATIENT_SECONDS)
    text = f"SELECT now() AS now, set_config('lock_timeout', '{PATIENT_SECONDS:.0f}s', true)"
    monkeypatch.setattr(database, "BEGINNING", database.Beginning(text))
