#!/usr/bin/env bash
# The README's test command, with the examples that it leaves out. Unit, integration and
# documentation tests count.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# The limit kills a test that allocates without bound, before it exhausts the machine.
ulimit -v $((16 << 20))
cargo_test --workspace --features clws-examples/axum,clws-examples/hyper --no-fail-fast
finish
