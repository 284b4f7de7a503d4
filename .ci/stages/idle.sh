#!/usr/bin/env bash
# Resident memory of 10,000 idle connections: plain, and with permessage-deflate without and with
# context takeover. Then the memory that remains after clients with big messages have disconnected.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_echo

# Server and client each hold a descriptor per connection, under separate limits.
ulimit -S -n "$(ulimit -H -n)"

# idle NAME FLAG... [-- ARGUMENT...]: measures a new server, so that no earlier memory counts.
idle() {
    local name=$1 flags=()
    shift
    while (($#)) && [ "$1" != -- ]; do flags+=("$1"); shift; done
    serve "$name" --listen 127.0.0.1:0 --max-clients 20000 "${flags[@]}" || finish
    run_counted "connections-$name" timeout 180 python3 "$ci/checks/idle.py" "${server_urls[0]}" "$server_pid" 10000 "${@:2}"
    still_serving "$name"
    stop_servers
}

idle main
idle deflate --deflate -- none
idle takeover --deflate-takeover -- takeover

for driver in shards tasks; do
    flags=()
    [ $driver = shards ] || flags=(--task-per-client)
    serve $driver "${flags[@]}" || finish
    run_counted "returned-$driver" timeout 180 python3 "$ci/checks/returned.py" "${server_urls[0]}" "$server_pid" 400 3
    still_serving $driver
    stop_servers
done
finish
