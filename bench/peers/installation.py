"""What the peers need, in folders of their own under `build/peers`: pinned, hashed, and kept between runs."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "peers"
DOCUMENT = ROOT.parent / "shared" / "contract" / "2024-07-30.json"
_MARK = "installed"


def python() -> Path:
    """The Python that has FastAPI and SQLAlchemy."""
    venv, requirements = BUILD / "venv", HERE / "requirements.txt"
    if _is_stale(venv, requirements):
        sys.stderr.write("Installing FastAPI and SQLAlchemy ...\n")
        _run([sys.executable, "-m", "venv", "--clear", str(venv)], ROOT)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
        _run([*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)], ROOT)
        _mark(venv, requirements)
    return venv / "bin" / "python"


def prism() -> Path | None:
    """The program that mocks the published document; None, and a sentence that says why, where that cannot be."""
    missing = _missing_of_prism()
    if missing is not None:
        sys.stderr.write(f"Prism is left out: {missing}\n")
        return None
    home, pins = BUILD / "prism", HERE / "package-lock.json"
    if _is_stale(home, pins):
        sys.stderr.write("Installing Prism ...\n")
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, home)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home)
        _mark(home, pins)
    return home / "node_modules" / ".bin" / "prism"


def _missing_of_prism() -> str | None:
    if not DOCUMENT.exists():
        return f"the published document is not at {DOCUMENT}."
    absent = [program for program in ("node", "npm") if shutil.which(program) is None]
    return f"{' and '.join(absent)} cannot be found." if absent else None


def _is_stale(home: Path, pins: Path) -> bool:
    mark = home / _MARK
    return not mark.exists() or mark.read_text(encoding="utf-8") != _fingerprint(home, pins)


def _mark(home: Path, pins: Path) -> None:
    (home / _MARK).write_text(_fingerprint(home, pins), encoding="utf-8")


def _fingerprint(home: Path, pins: Path) -> str:
    """What an installation depends on: the pins, and the place, which scripts of a virtual environment name."""
    return hashlib.sha256(pins.read_bytes() + str(home).encode()).hexdigest()


def _run(command: Sequence[str], directory: Path) -> None:
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if ran.returncode:
        message = f"{' '.join(command)} failed.\n{ran.stdout}{ran.stderr}"
        raise SystemExit(message)
