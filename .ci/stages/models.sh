#!/usr/bin/env bash
# Thread interleavings: the server's real code with the locks and atomics of the crate `shuttle`.
# Each model must hold in many schedules and fail with each of its built-in faults.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# The flag affects all crates, so it needs a separate target folder. Otherwise other stages would
# recompile everything.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle -D warnings" CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0
cargo_test -p clws-server --lib --target-dir "$target/shuttle" models:: -- --show-output
grep '^model: ' "$out/models.cargo.log" || true
count() { grep -cE "^model: .*$1" "$out/models.cargo.log" || true; }
note "$(count ' schedules hold') models hold, and $(count ' fails at ') built-in faults are found"
finish
