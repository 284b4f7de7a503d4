#!/usr/bin/env bash
# Interleavings of threads: the server's own code with the locks and atomics of the crate `shuttle`. Each model holds in
# many schedules, and fails with each of its faults.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# A flag for all crates, so a target folder for it, or what the other stages compiled would be compiled again after it.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle -D warnings" CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0
log=$out/models.cargo.log status=0
cargo test -p clws-server --lib --target-dir "$target/shuttle" models:: -- --show-output >"$log" 2>&1 || status=$?
grep '^model: ' "$log" || true
tally_tests "$log" "$status"
count() { grep -cE "^model: .*$1" "$log" || true; }
note "$(count ' schedules hold') models hold, and fail in $(count ' fails at ') ways that they were told to"
finish
