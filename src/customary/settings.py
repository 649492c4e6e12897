"""Every setting of the service: read from the environment once, at the edge, and passed on in slices."""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from platformdirs import user_data_path

from customary.errors import SetupError

PREFIX = "CUSTOMARY_"
MAXIMUM_WORKERS = 64
MAXIMUM_POOL_SIZE = 100


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator can set. Each name in capitals behind `CUSTOMARY_` is the environment variable."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = user_data_path("customary", appauthor=False)
    database_url: str | None = None
    workers: int = 1
    pool_size: int = 10
    limits_file: Path | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    metrics_file: Path | None = None
    secret_keys: str | None = None
    secret_keys_file: Path | None = None
    smtp_url: str | None = None
    mail_from: str | None = None
    webhook_allow: str | None = None
    trusted_proxies: str | None = None


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives, defaults for the rest. Raises `SetupError` for a value that is none."""
    default = Settings()
    limits_file = environment.get(f"{PREFIX}LIMITS_FILE")
    metrics_file = environment.get(f"{PREFIX}METRICS_FILE")
    secret_keys_file = environment.get(f"{PREFIX}SECRET_KEYS_FILE")
    return Settings(
        host=environment.get(f"{PREFIX}HOST") or default.host,
        port=_number(environment, "PORT", most=65535) or default.port,
        data_dir=Path(environment.get(f"{PREFIX}DATA_DIR") or default.data_dir),
        database_url=environment.get(f"{PREFIX}DATABASE_URL") or None,
        workers=_number(environment, "WORKERS", most=MAXIMUM_WORKERS) or default.workers,
        pool_size=_number(environment, "POOL_SIZE", most=MAXIMUM_POOL_SIZE) or default.pool_size,
        limits_file=Path(limits_file) if limits_file else None,
        metrics_host=environment.get(f"{PREFIX}METRICS_HOST") or default.metrics_host,
        metrics_port=_number(environment, "METRICS_PORT", most=65535),
        metrics_file=Path(metrics_file) if metrics_file else None,
        secret_keys=environment.get(f"{PREFIX}SECRET_KEYS") or None,
        secret_keys_file=Path(secret_keys_file) if secret_keys_file else None,
        smtp_url=environment.get(f"{PREFIX}SMTP_URL") or None,
        mail_from=environment.get(f"{PREFIX}MAIL_FROM") or None,
        webhook_allow=environment.get(f"{PREFIX}WEBHOOK_ALLOW"),  # set and empty means: none
        trusted_proxies=environment.get(f"{PREFIX}TRUSTED_PROXIES") or None,
    )


def _number(environment: Mapping[str, str], name: str, *, most: int) -> int | None:
    """The number from 1 on that this variable holds; None where it is not set."""
    text = environment.get(f"{PREFIX}{name}")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        message = f"{PREFIX}{name} is '{text}'; it must be a whole number from 1 to {most}."
        raise SetupError(message)
    return int(text)
