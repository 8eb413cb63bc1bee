#!/usr/bin/env bash
# Holds a running `cardex serve` against tools of others: schemathesis over /openapi.json, promtool
# over /metrics, and a real browser over the page. Installs them where this user may; what it leaves
# (screenshots, reports) is in target/conformance.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/target/conformance
mkdir -p "$out"

missing=()
command -v chromium >/dev/null 2>&1 || missing+=(chromium)
command -v promtool >/dev/null 2>&1 || missing+=(prometheus)
if [ "${#missing[@]}" -gt 0 ]; then
    install="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Conformance needs ${missing[*]}. Run this, then run again:" >&2
        echo "    sudo apt-get update && sudo $install" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $install
fi
if [ ! -x "$out/venv/bin/schemathesis" ]; then
    python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install -q 'schemathesis==4.*' 'websocket-client==1.*'
fi

${CARGO:-cargo} build --features full
cardex=${CARGO_TARGET_DIR:-$PWD/target}/debug/cardex
project=$(mktemp -d)
cp -r tests/fixtures/tree/. "$project"
head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$project/token"
chmod 600 "$project/token"
"$cardex" -C "$project" index --quiet
"$cardex" -C "$project" serve --listen 127.0.0.1:0 --token-file "$project/token" >"$project/address" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$project"' EXIT
for _ in $(seq 100); do
    [ -s "$project/address" ] && break
    sleep 0.1
done
url=http://$(head -1 "$project/address")
curl --silent --fail --retry 50 --retry-delay 0 --retry-all-errors "$url/readyz" >/dev/null

echo "== promtool: /metrics"
curl --silent --fail "$url/metrics" -H 'Accept: text/plain' | tee "$out/metrics.txt" | promtool check metrics

echo "== schemathesis: /openapi.json"
"$out/venv/bin/schemathesis" --config-file tests/conformance/schemathesis.toml run "$url/openapi.json" --url "$url" \
    --header "Authorization: Bearer $(cat "$project/token")" \
    --exclude-path /v1/events --max-examples "${EXAMPLES:-50}" --request-timeout 15 \
    --exclude-checks unsupported_method

echo "== chromium: /"
"$out/venv/bin/python" tests/conformance/browser.py "$url" "$(cat "$project/token")" "$out"
echo "conformance: all is well; see $out"
