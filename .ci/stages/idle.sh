#!/usr/bin/env bash
# What an idle connection costs: resident memory over 10,000 of them, plain, and with permessage-deflate negotiated,
# without and with context takeover.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_echo

# Both ends hold a descriptor for each connection, each under its own limit.
ulimit -S -n "$(ulimit -H -n)"

# idle NAME FLAG... [-- ARGUMENT...]: a server of its own each, so that none starts with another's memory
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
finish
