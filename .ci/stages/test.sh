#!/usr/bin/env bash
# The README's test command. Every `test result:` line counts: unit, integration and documentation
# tests.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# The limit kills a test that allocates without bound, before it exhausts the machine.
ulimit -v $((16 << 20))

log=$out/test.cargo.log status=0
cargo test --workspace --no-fail-fast >"$log" 2>&1 || status=$?
tally_tests "$log" "$status"
finish
