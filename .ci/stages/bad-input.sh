#!/usr/bin/env bash
# Hostile bytes over real sockets: the right answer to each, bounded memory, and a good client beside them that never
# notices.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
build_echo

serve main --hixie --handshake-timeout 2 || finish
run_counted bytes timeout 200 python3 "$ci/checks/bad_input.py" "${server_urls[0]}" "$server_pid"
still_serving main
finish
