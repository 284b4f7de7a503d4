#!/usr/bin/env bash
# Hostile bytes over real sockets: the right answer to each, bounded memory, and a good client beside them that never
# notices. Once on echo's shards, once on the driver for any stream (a task per client).
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_echo

for driver in shards tasks; do
    flags=()
    [ $driver = shards ] || flags=(--task-per-client)
    serve $driver --hixie --handshake-timeout 2 "${flags[@]}" || finish
    run_counted "bytes-$driver" timeout 110 python3 "$ci/checks/bad_input.py" "${server_urls[0]}" "$server_pid"
    still_serving $driver
done
finish
