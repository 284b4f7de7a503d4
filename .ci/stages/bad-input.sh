#!/usr/bin/env bash
# Hostile bytes over real sockets: the right answer to each, bounded memory, and a good client beside them that never
# notices. Once on echo's shards, once on the driver for any stream (a task per client); on both of them also compressed
# bytes, with and without context takeover, at the default limit of a message and at a small one.
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
