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

# unpack NAME PACKAGE: the package's files in $target/NAME
unpack() {
    if [ -e "$target/$1/.complete" ]; then return; fi
    rm -rf "${target:?}/$1"
    mkdir -p "$target/$1/.download"
    (cd "$target/$1/.download" && apt-get -o APT::Sandbox::User=root download -q "$2") || {
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

# The newest Go of the distribution: its version is in the name of its package.
go=$(apt-cache depends golang-src 2>/dev/null | sed -n 's/.*Depends: \(golang-[0-9.]*-src\)$/\1/p' | head -n 1)
unpack go "${go:-golang-1.19-src}"
unpack java openjfx-source
unpack javascript node-undici
unpack javascript-classes npm
unpack typescript node-lumino
