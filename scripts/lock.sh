#!/bin/sh
# Compiles requirements/*.in into requirements/*.txt: every pin with the hashes of all its files, valid for
# Python 3.11 and newer on every platform, without the address of any index.
#
#     scripts/lock.sh [--upgrade]
#
# Without --upgrade, pins stay as they are where the .in files still allow them.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
# Not the Python of .venv: pins that cannot be installed any more are a reason to come here.
python=$("$root/scripts/environment.sh" python)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The compiler is nobody's dependency, so it lives in an environment that is thrown away. It decides what is
# installed everywhere, so it is pinned and hashed like all the rest.
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement "$root/requirements/compiler.txt"

# The compiler does not read pip's configuration. Where that names an index of one's own, it is handed on.
index=${PIP_INDEX_URL:-$("$scratch/venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then
    export UV_DEFAULT_INDEX="$index"
fi

cd "$root/requirements"
for pins in *.txt; do
    cp "$pins" "$scratch/"
done

# compile NAME [--constraint FILE ...] makes NAME.txt out of NAME.in. Only Windows needs colorama, and Customary
# does not run there.
compile() {
    name=$1
    shift
    "$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --only-binary :all: --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
        --no-emit-package colorama ${upgrade:+"$upgrade"} "$@" --output-file "$name.txt" "$name.in"
}

upgrade=${1:-}
compile compiler
# The order matters: what is tested must be what runs, so the later files are bound by the earlier ones.
compile runtime
compile build --constraint runtime.txt
compile development --constraint runtime.txt --constraint build.txt

# When each of the service's packages was released is in no wheel; the index says it, to whoever asks for this
# kind of lock file.
"$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-emit-package colorama \
    --constraint runtime.txt --output-file "$scratch/pylock.toml" runtime.in
"$python" "$root/scripts/released.py" "$scratch/pylock.toml" >"$scratch/released.toml"
mv "$scratch/released.toml" released.toml

pins_in() {
    sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\).*/\1/p' "$1"
}

changed=no
for pins in *.txt; do
    pins_in "$scratch/$pins" >"$scratch/before" 2>/dev/null || true
    pins_in "$pins" >"$scratch/after"
    if ! difference=$(diff "$scratch/before" "$scratch/after"); then
        changed=yes
        echo "requirements/$pins:"
        printf '%s\n' "$difference" | sed -n 's/^[<] /  - /p; s/^[>] /  + /p'
    fi
done
[ "$changed" = yes ] || echo "No pin changed."
