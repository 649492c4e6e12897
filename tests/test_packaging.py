"""What a fresh clone relies on before anything is installed: the pins, and the script that installs them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REQUIREMENTS = ROOT / "requirements"
PINS = sorted(REQUIREMENTS.glob("*.txt"))

MOST_RUNTIME_PACKAGES = 40

# Stands in for a Python without anything being installed: it answers `-c` truthfully, and writes down what
# it is asked to make and to install.
PRETENDED_PYTHON = """\
#!/bin/sh
case "$1 $2" in
    "-c "*) exec "{python}" "$@" ;;
    "-m venv")
        mkdir -p "$3/bin"
        ln -s "{itself}" "$3/bin/python"
        echo "command = python -m venv $3" >"$3/pyvenv.cfg"
        ;;
    *) {install} ;;
esac
echo "$*" >>"{log}"
"""


def pins_in(path: Path) -> dict[str, list[str]]:
    """Read every pin, as `name==version`, with its hashes."""
    logical_lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return {words[0]: words[1:] for line in logical_lines if (words := line.partition("#")[0].split())}


def normal(requirement: str) -> str:
    name = re.split(r"[\[=<>~!; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pins_are_there() -> None:
    assert [path.name for path in PINS] == ["build.txt", "compiler.txt", "development.txt", "runtime.txt"]


@pytest.mark.parametrize("path", [*PINS, *sorted(REQUIREMENTS.glob("*.in"))], ids=lambda path: path.name)
def test_no_file_names_an_index(path: Path) -> None:
    found = re.findall(r"https?://\S+|\S+@\S+|--(?:extra-)?index-url|--find-links|--trusted-host", path.read_text())
    assert not found, f"{path.name} names {found}: where packages come from is for the machine to say, not for the pins"


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_pin_has_its_hashes(path: Path) -> None:
    for pin, rest in pins_in(path).items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", pin), f"{pin} is not an exact version"
        hashes = [word for word in rest if word.startswith("--hash=")]
        assert hashes, f"{pin} has no hash: run `make lock`"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for word in hashes), pin


def test_few_packages_are_needed_to_run() -> None:
    count = len(pins_in(REQUIREMENTS / "runtime.txt"))
    assert count <= MOST_RUNTIME_PACKAGES, f"{count} packages: each is code that operators have to trust"


def test_every_installing_line_takes_only_wheels_with_pinned_hashes() -> None:
    """Also the compiler of the pins, and whatever comes to build, check or release: pip is asked in no other way."""
    files = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "scripts").glob("*.sh")]
    lines = [line for path in files for line in path.read_text().replace("\\\n", " ").splitlines()]
    asks_pip = re.compile(r"\b(pip|pipx|uv|uvx|npm|npx) (pip )?(install|sync|run|tool)\b")
    installing = [line for line in lines if asks_pip.search(line)]
    assert len(installing) == 3, installing
    for line in installing:
        fetches_nothing = "--no-deps --no-build-isolation --editable" in line
        assert fetches_nothing or "--require-hashes --only-binary :all:" in line, line


def test_building_the_package_fetches_nothing_that_is_not_pinned() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pinned = {normal(pin) for pin in pins_in(REQUIREMENTS / "build.txt")}
    assert {normal(name) for name in wanted} <= pinned


def test_what_is_tested_is_what_runs() -> None:
    development = pins_in(REQUIREMENTS / "development.txt").keys()
    for name in ("runtime.txt", "build.txt"):
        assert not pins_in(REQUIREMENTS / name).keys() - development, f"run `make lock`: {name} has other pins"


def test_the_package_declares_what_is_pinned() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = (REQUIREMENTS / "runtime.in").read_text().splitlines()
    assert {normal(name) for name in declared} == {normal(line) for line in lines if line and not line.startswith("#")}


def test_each_direct_dependency_has_its_reason() -> None:
    decision = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text().lower()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    missing = [normal(name) for name in declared if f"`{normal(name)}`" not in decision]
    assert not missing, f"say in docs/decisions/0001-dependencies.md why these are needed: {missing}"


# --- Setting up -------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what a set-up needs into a folder whose path has spaces in it."""
    clone = tmp_path / "a fresh clone"
    clone.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, clone / name)
    return clone


@pytest.fixture
def pretended_python(tmp_path: Path) -> Path:
    return pretend_python(tmp_path, install=":")


def pretend_python(folder: Path, *, install: str) -> Path:
    python = folder / "pretended python"
    log = folder / "log"
    log.touch()
    python.write_text(PRETENDED_PYTHON.format(python=sys.executable, itself=python, install=install, log=log))
    python.chmod(0o755)
    return python


def asked_of(python: Path) -> list[str]:
    """Take what the pretended Python wrote down since the last time, one line per call."""
    log = python.parent / "log"
    lines = log.read_text().splitlines()
    log.write_text("")
    return lines


def done_by(python: Path) -> list[str]:
    """Take the same, of calls of pip without their options."""
    return [re.sub(r"(-m pip install) .*", r"\1", line) for line in asked_of(python)]


def set_up(clone: Path, what: str = "runtime", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "scripts" / "environment.sh", what],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHON": ""} | environment,
    )


def answering(folder: Path, name: str, body: str) -> Path:
    """Write a program that stands in for another."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def test_a_missing_venv_module_is_named_with_its_cure(clone: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ensurepip.py").write_text("raise ImportError('taken out, as Debian does')\n")
    python = answering(tmp_path, "python-of-debian", f'PYTHONPATH="{broken}" exec "{sys.executable}" "$@"')
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    made = subprocess.run(
        ["make", "-C", clone, "serve", f"PYTHON={python}"], capture_output=True, text=True, check=False
    )

    assert made.returncode != 0
    assert "cannot make a virtual environment" in made.stderr
    assert f"apt-get install python{version}-venv" in made.stderr
    assert ("sudo" in made.stderr) == (os.getuid() != 0)
    assert not list(clone.glob(".venv*")), "something half-made was left behind"


def test_a_python_that_is_too_old_is_refused(clone: Path, tmp_path: Path) -> None:
    result = set_up(clone, PYTHON=str(answering(tmp_path, "python-of-old", "echo 3.10")))
    assert result.returncode == 1
    assert "is Python 3.10, and Customary needs 3.11 or newer" in result.stderr


def test_a_python_that_does_not_run_is_refused(clone: Path) -> None:
    result = set_up(clone, PYTHON="/nowhere/python3")
    assert result.returncode == 1
    assert "PYTHON=/nowhere/python3 does not run" in result.stderr


def test_without_any_python_the_way_to_get_one_is_said(clone: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname", "id", "cat", "cksum", "flock", "mktemp", "rm"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    answering(programs, "python3", "echo 3.9")
    result = set_up(clone, PATH=str(programs))
    assert result.returncode == 1
    assert "needs Python 3.11 or newer, and found none" in result.stderr
    assert "apt-get install python3 python3-venv" in result.stderr
    assert not list(clone.glob(".venv*"))


def test_the_first_run_installs_and_the_second_does_nothing(clone: Path, pretended_python: Path) -> None:
    python = str(pretended_python)
    first = set_up(clone, PYTHON=python)
    assert first.returncode == 0, first.stderr
    pins = len(pins_in(REQUIREMENTS / "runtime.txt")) + len(pins_in(REQUIREMENTS / "build.txt"))
    assert first.stdout.splitlines() == [
        f"Creating .venv with Python {sys.version_info.major}.{sys.version_info.minor} ...",
        f"Installing {pins} pinned packages ...",
        "Installing customary ...",
    ]
    assert done_by(pretended_python) == [f"-m venv {clone}/.venv", "-m pip install", "-m pip install"]

    second = set_up(clone, PYTHON=python)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert done_by(pretended_python) == []


@pytest.mark.parametrize(("kind", "files"), [("runtime", ["runtime", "build"]), ("development", ["development"])])
def test_only_wheels_with_pinned_hashes_are_installed(
    clone: Path, pretended_python: Path, kind: str, files: list[str]
) -> None:
    """The package itself comes from the checkout, and building it fetches nothing."""
    set_up(clone, kind, PYTHON=str(pretended_python))
    requirements = "".join(f" --requirement {clone}/requirements/{name}.txt" for name in files)
    assert asked_of(pretended_python)[1:] == [
        f"-m pip install --require-hashes --only-binary :all:{requirements}",
        f"-m pip install --no-deps --no-build-isolation --editable {clone}",
    ]


def test_the_development_environment_serves_too(clone: Path, pretended_python: Path) -> None:
    set_up(clone, "development", PYTHON=str(pretended_python))
    done_by(pretended_python)
    set_up(clone, "runtime", PYTHON=str(pretended_python))
    assert done_by(pretended_python) == []


def test_changed_pins_are_installed_into_what_is_there(clone: Path, pretended_python: Path) -> None:
    set_up(clone, PYTHON=str(pretended_python))
    done_by(pretended_python)
    with (clone / "requirements" / "runtime.txt").open("a") as pins:
        pins.write("# another pin\n")
    set_up(clone, PYTHON=str(pretended_python))
    assert done_by(pretended_python) == ["-m pip install", "-m pip install"]


def test_a_set_up_that_was_killed_is_begun_anew(clone: Path, tmp_path: Path, pretended_python: Path) -> None:
    killing = tmp_path / "killing"
    killing.mkdir()
    killed = set_up(clone, PYTHON=str(pretend_python(killing, install="kill -9 $PPID")))
    assert killed.returncode != 0
    assert (clone / ".venv").exists()

    repaired = set_up(clone, PYTHON=str(pretended_python))
    assert repaired.returncode == 0, repaired.stderr
    assert "Removing .venv" in repaired.stdout
    assert done_by(pretended_python) == [f"-m venv {clone}/.venv", "-m pip install", "-m pip install"]


def test_what_pip_says_is_shown_only_when_it_fails(clone: Path, tmp_path: Path) -> None:
    failing = set_up(clone, PYTHON=str(pretend_python(tmp_path, install="echo no such package; exit 1")))
    assert failing.returncode == 1
    assert "no such package" in failing.stderr
    chatty = set_up(clone, PYTHON=str(pretend_python(tmp_path, install="echo collecting")))
    assert chatty.returncode == 0
    assert "collecting" not in chatty.stdout + chatty.stderr


def test_a_clone_that_was_moved_gets_a_new_environment(clone: Path, pretended_python: Path) -> None:
    set_up(clone, PYTHON=str(pretended_python))
    done_by(pretended_python)
    moved = clone.rename(clone.parent / "moved")
    set_up(moved, PYTHON=str(pretended_python))
    assert done_by(pretended_python)[0] == f"-m venv {moved}/.venv"
