#!/bin/sh
# Makes .venv fit to run Customary (`runtime`) or to test and check it (`development`), or only prints
# which Python would be used for it (`python`).
#
#     scripts/environment.sh runtime|development|python
#
# A run that finds everything in place does nothing and takes a few milliseconds. PYTHON=... names the
# Python to use; otherwise the newest one that is found. Plain POSIX shell, because nothing else is sure
# to be there yet.

set -eu

oldest_minor=11
known_versions="3.13 3.12 3.11"

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
# This mark exists while .venv is being changed. A run that finds it was preceded by one that was cut
# short, and nothing in the directory can be trusted: pip takes a half-copied package for an installed one.
unfinished=$venv/.unfinished

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# --- Finding Python ---------------------------------------------------------------------------------

# Prints "3.12" for a Python that runs, and fails for one that does not: a version manager's
# placeholder is on the path and still cannot start.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_new_enough() {
    case $1 in
        3.*) [ "${1#3.}" -ge "$oldest_minor" ] ;;
        *) return 1 ;;
    esac
}

# Prints how to install Debian packages here, as the user who reads it would have to type it.
apt_command() {
    if [ "$(id -u)" -eq 0 ]; then as_root=''; else as_root='sudo '; fi
    printf '    %sapt-get update && %sapt-get install %s\n' "$as_root" "$as_root" "$*"
}

# Says which Python packages this system offers; the plain names are right where nothing better is known.
python_packages() {
    for version in $known_versions; do
        if apt-cache show "python$version-venv" >/dev/null 2>&1; then
            echo "python$version python$version-venv"
            return
        fi
    done
    echo "python3 python3-venv"
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        version=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON does not run: name a Python 3.$oldest_minor or newer."
        is_new_enough "$version" ||
            fail "PYTHON=$PYTHON is Python $version, and Customary needs 3.$oldest_minor or newer."
        python=$PYTHON
        return
    fi
    for name in python3.13 python3.12 python3.11 python3; do
        if version=$(version_of "$name") && is_new_enough "$version"; then
            python=$name
            return
        fi
    done
    fail "Customary needs Python 3.$oldest_minor or newer, and found none. On Debian and Ubuntu this installs it:" \
        "$(apt_command "$(python_packages)")" \
        "If it is installed in an unusual place, name it: make PYTHON=/path/to/python3 ..."
}

# Debian ships Python without the part that puts pip into a virtual environment. Asking before anything
# is made leaves nothing half-made behind.
require_venv() {
    "$python" -c 'import venv; from ensurepip import bootstrap' 2>/dev/null ||
        fail "Python $version is here, but it cannot make a virtual environment: its venv module is not complete." \
            "On Debian and Ubuntu this installs the missing piece:" \
            "$(apt_command "python$version-venv")"
}

find_usable_python() {
    find_python
    require_venv
}

# --- Deciding what there is to do -------------------------------------------------------------------

# Stands for everything that an installation depends on. The contents count, not the times of the files,
# since a checkout gives every file a new time; and so does the place, since scripts in .venv name it.
fingerprint_of() {
    {
        echo "$venv"
        cat "$root/pyproject.toml" "$root/requirements/build.txt" "$root/requirements/$1.txt"
    } | cksum
}

is_whole() {
    [ -x "$venv/bin/python" ] && [ ! -e "$unfinished" ] && grep -qF -- "$venv" "$venv/pyvenv.cfg" 2>/dev/null
}

is_wanted_version() {
    [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$venv/bin/python")" ]
}

is_reusable() {
    is_whole && is_wanted_version
}

is_up_to_date() {
    is_reusable && [ "$(cat "$venv/.$1" 2>/dev/null)" = "$(fingerprint_of "$1")" ]
}

# --- Doing it ---------------------------------------------------------------------------------------

# Runs a command in silence and shows what it printed only when it fails.
quietly() {
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        fail "That did not work; what went wrong is above. The next run starts from the beginning."
    fi
}

pip() {
    # The user's own pip settings stay in force, except the one that would install outside .venv.
    PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
        "$venv/bin/python" -m pip "$@"
}

create_venv() {
    find_usable_python
    if [ -e "$venv" ]; then
        echo "Removing .venv: it is half-made, was moved, or belongs to another Python."
        rm -rf "$venv"
    fi
    echo "Creating .venv with Python $version ..."
    mkdir "$venv"
    : >"$unfinished"
    quietly "$python" -m venv "$venv"
}

install() {
    kind=$1
    if [ "$kind" = runtime ]; then
        set -- "$root/requirements/runtime.txt" "$root/requirements/build.txt"
    else
        # These pins include those of the build.
        set -- "$root/requirements/development.txt"
    fi
    : >"$unfinished"
    echo "Installing $(cat "$@" | grep -c '^[A-Za-z0-9].*==') pinned packages ..."
    for pins; do
        shift
        set -- "$@" --requirement "$pins"
    done
    quietly pip install --require-hashes --only-binary :all: "$@"
    echo "Installing customary ..."
    quietly pip install --no-deps --no-build-isolation --editable "$root"
    # What tests need includes what the service needs, at the same versions.
    fingerprint_of runtime >"$venv/.runtime"
    [ "$kind" = runtime ] || fingerprint_of development >"$venv/.development"
    rm "$unfinished"
}

# Two set-ups at once, say `make serve` and `make test` in two terminals, would each take the other's
# unfinished work for an interrupted one. Where there is no flock, people have to take turns by themselves.
wait_for_turn() {
    [ -w "$root" ] || fail "$root cannot be written to by $(id -un), so no virtual environment can be made there."
    command -v flock >/dev/null || return 0
    exec 9>"$root/.venv.lock"
    flock -n 9 || {
        echo "Waiting for another set-up of this checkout to finish ..."
        flock 9
    }
}

case ${1:-} in
    runtime | development) ;;
    python)
        find_usable_python
        echo "$python"
        exit 0
        ;;
    *) fail "usage: scripts/environment.sh runtime|development|python" ;;
esac

is_up_to_date "$1" && exit 0
# Asked before the first file is made, so that a refusal leaves the checkout as it was.
if ! is_reusable; then find_usable_python; fi
wait_for_turn
is_up_to_date "$1" && exit 0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! is_reusable; then create_venv; fi
install "$1"
