#!/usr/bin/env bash
# Hostile bytes over real sockets: each needs the right answer and bounded memory, and a good client
# in parallel must never notice. They run on echo's shards and with a task per client. Compressed
# bytes also run with and without context takeover, at the default message limit and at a small one.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_echo

# compressed NAME none|takeover MAX_MESSAGE FLAG...
compressed() {
    local name=$1 takeover=$2 most=$3
    shift 3
    serve "$name" --max-message "$most" "$@" || finish
    run_counted "$name" timeout 200 python3 "$ci/checks/bad_deflate.py" "${server_urls[0]}" "$server_pid" "$takeover" "$most"
    still_serving "$name"
}

for driver in shards tasks; do
    flags=()
    [ $driver = shards ] || flags=(--task-per-client)
    serve $driver --hixie --hixie-75 --handshake-timeout 2 "${flags[@]}" || finish
    run_counted "bytes-$driver" timeout 200 python3 "$ci/checks/bad_input.py" "${server_urls[0]}" "$server_pid"
    still_serving $driver
    compressed "deflate-$driver" none 16777216 --deflate "${flags[@]}"
    compressed "deflate-small-$driver" none 65536 --deflate "${flags[@]}"
    compressed "takeover-$driver" takeover 16777216 --deflate-takeover "${flags[@]}"
    compressed "takeover-small-$driver" takeover 65536 --deflate-takeover "${flags[@]}"
done
finish
