#!/bin/sh
# Unpacks real sources that tests/extract_recall.rs measures against, from packages of the
# distribution, into target/sources (or the directory given). What is there already is kept.
# Python's and the Rust and C sources are on the machine anyway: the standard library, and the
# crates that this one is built from.
set -eu

target=${1:-"$(cd "$(dirname "$0")/.." && pwd)/target/sources"}

need() {
    command -v "$1" >/dev/null || { echo "sources.sh: $1 is missing: $2" >&2; exit 2; }
}
need apt-get "the sources come from Debian's or Ubuntu's packages"
need dpkg-deb "apt-get install dpkg"
need python3 "apt-get install python3"

# fetch NAME PACKAGE: the package itself
fetch() {
    (cd "$target/$1/.download" && apt-get -o APT::Sandbox::User=root download -q "$2")
}

# The lists of packages are old, or, on a fresh machine, missing: fetches them, once, if this user may.
updated=
update() {
    [ -z "$updated" ] || return 1
    updated=yes
    if [ "$(id -u)" -eq 0 ]; then
        apt-get update -qq
    else
        sudo -n apt-get update -qq 2>/dev/null
    fi
}

# unpack NAME PACKAGE: the package's files in $target/NAME
unpack() {
    if [ -e "$target/$1/.complete" ]; then return; fi
    rm -rf "${target:?}/$1"
    mkdir -p "$target/$1/.download"
    fetch "$1" "$2" || { update && fetch "$1" "$2"; } || {
        echo "sources.sh: cannot download the package $2; try: apt-get update" >&2
        exit 2
    }
    dpkg-deb -x "$target/$1/.download"/*.deb "$target/$1"
    # Java's come as an archive inside the package.
    find "$target/$1" -name src.zip | while read -r zip; do
        python3 -m zipfile -e "$zip" "$(dirname "$zip")/src"
    done
    rm -rf "$target/$1/.download"
    touch "$target/$1/.complete"
}

# The newest Go of the distribution: its version is in the name of its package. Asked only of lists
# that know it.
if [ ! -e "$target/go/.complete" ] && ! apt-cache show golang-src >/dev/null 2>&1; then
    update || echo "sources.sh: apt-get update failed; going on with the lists there are" >&2
fi
go=$(apt-cache depends golang-src 2>/dev/null | sed -n 's/.*Depends: \(golang-[0-9.]*-src\)$/\1/p' | head -n 1)
unpack go "${go:-golang-1.19-src}"
unpack java openjfx-source
unpack javascript node-undici
unpack javascript-classes npm
unpack typescript node-lumino
