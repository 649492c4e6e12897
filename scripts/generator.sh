#!/bin/sh
# Sees to it that wrk is there, which makes the load of the benchmarks: from Debian's packages where this may install.

set -eu

command -v wrk >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    echo "Installing wrk ..."
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if apt-get update >"$log" 2>&1 && apt-get install --yes wrk >>"$log" 2>&1; then exit 0; fi
    cat "$log" >&2
fi
echo "The benchmarks need wrk, the load generator. Install the package wrk of Debian or Ubuntu:" >&2
echo "    sudo apt-get update && sudo apt-get install wrk" >&2
exit 1
