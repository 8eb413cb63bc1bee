#!/usr/bin/env bash
# Installs what the tests need beyond Rust, a C compiler and make: through apt where this user may,
# otherwise it names the exact command and stops.
set -euo pipefail

declare -A packages=(
    [sqlite3]=sqlite3          # a foreign client of the database
    [ctags]=universal-ctags    # the yardstick of extraction
    [redis-server]=redis-server # what processes share a tier on
    [python3]=python3          # its standard library is a source to extract from
)

missing=()
for command in "${!packages[@]}"; do
    command -v "$command" >/dev/null 2>&1 || missing+=("${packages[$command]}")
done
# Another program is called ctags, too.
if command -v ctags >/dev/null 2>&1 && ! ctags --version 2>/dev/null | grep -q 'Universal Ctags'; then
    missing+=(universal-ctags)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "The tests need: ${missing[*]}. Install them with this system's package manager, then run again." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $install
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo apt-get update -qq
    sudo DEBIAN_FRONTEND=noninteractive $install
else
    echo "The tests need: ${missing[*]}. Run this, then run again:" >&2
    echo "    sudo apt-get update && sudo $install" >&2
    exit 1
fi
