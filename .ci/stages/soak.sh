#!/usr/bin/env bash
# Many idle clients and some active ones for SOAK_SECONDS (600), with keepalive. Each process may
# open 20,000 descriptors. No client is lost, and the server's memory does not grow.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

seconds=${SOAK_SECONDS:-600} idle=${SOAK_IDLE:-19000} active=${SOAK_ACTIVE:-500}
ulimit -n "$((idle + active + 500))" || fail "the descriptor limit is too low"
build_echo
cargo build --release --quiet -p clws-benches --bin load || fail "load failed to build"
serve soak
address=${server_urls[0]#ws://}

load() { # NAME ARGUMENT...: runs in the background; sets $!
    "$target/release/load" "${@:2}" "$address" >"$out/$STAGE.$1.log" 2>&1 </dev/null &
}
load idle idle --connections "$idle" --hold "$seconds" --stall 60 --pid "$server_pid"
idle_pid=$!
# The idle clients connect first: the memory of each is measured while nothing else happens.
until kill -0 "$idle_pid" 2>/dev/null && (($(find "/proc/$server_pid/fd" -mindepth 1 | wc -l) >= idle)); do
    kill -0 "$idle_pid" 2>/dev/null || break
    sleep 0.2
done
sleep 5
load active echo --connections "$active" --seconds "$((seconds - seconds / 20))" --warmup 5 --stall 60 --pid "$server_pid"
active_pid=$!

resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$server_pid/status"; }
sleep $((seconds / 4))
first=$(resident)
status=0; wait "$active_pid" || status=$?
last=$(resident)
if ((status == 0)); then ok "$active active clients"; else fail "active clients: $(tail -n 3 "$out/$STAGE.active.log")"; fi
status=0; wait "$idle_pid" || status=$?
if ((status == 0)); then ok "$idle idle clients"; else fail "idle clients: $(tail -n 3 "$out/$STAGE.idle.log")"; fi
note "resident memory: $first KiB after a quarter of the time, $last KiB at the end"
# A twentieth, or 4 MiB: the allocator's own noise.
if ((last <= first + first / 20 + 4096)); then ok "memory"; else fail "memory grew from $first to $last KiB"; fi
still_serving soak
finish
