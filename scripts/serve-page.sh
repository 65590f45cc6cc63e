#!/usr/bin/env bash
# The query page of `triples serve` in headless Chromium: it has to show the result of a query as a table, with no
# network but the server, and say nothing on the console. Leaves a picture at target/serve-page.png.
set -euo pipefail
cd "$(dirname "$0")/.."
chromium=${CHROMIUM:-chromium}
cargo build -p triple-store --bin triples
dir=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
target/debug/triples update "$dir/store.vde" 'INSERT DATA { <urn:s> <urn:p> "shown in a cell" }'
target/debug/triples serve "$dir/store.vde" --bind 127.0.0.1:0 2>"$dir/log" &
server=$!
until grep -q listening "$dir/log"; do kill -0 "$server"; sleep 0.1; done
address=$(grep -o 'http://[^ ]*' "$dir/log")

# No name but the server's address resolves, so whatever the page wants from elsewhere fails, and is heard of.
browse() {
  timeout 60 "$chromium" --headless=new --no-sandbox --disable-gpu --user-data-dir="$dir/profile" \
    --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' --window-size=1200,800 --virtual-time-budget=8000 \
    --enable-logging=stderr "$@" "$address#query=SELECT%20%3Fo%20WHERE%20%7B%3Fs%20%3Fp%20%3Fo%7D" 2>"$dir/console"
}
browse --screenshot="$PWD/target/serve-page.png" >"$dir/out"
browse --dump-dom >"$dir/dom"
grep -q '<td[^>]*>.*shown in a cell' "$dir/dom" || { echo "no table with the result"; exit 1; }
if grep 'CONSOLE' "$dir/console"; then echo "the console is not silent"; exit 1; fi
echo "the page shows the result: target/serve-page.png"
