#!/usr/bin/env bash
# What an idle connection costs: resident memory over 10,000 of them.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_echo

# Both ends hold a descriptor for each connection, each under its own limit.
ulimit -S -n "$(ulimit -H -n)"
serve main --listen 127.0.0.1:0 --max-clients 20000 || finish
run_counted connections timeout 100 python3 "$ci/checks/idle.py" "${server_urls[0]}" "$server_pid"
still_serving main
finish
