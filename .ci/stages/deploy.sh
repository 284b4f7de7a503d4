#!/usr/bin/env bash
# The files of clws-examples/deploy, with real programs: promtool reads the metrics of `echo` and
# `chat`, and the dashboard and the alerts name metrics that exist.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

need_apt prometheus || fail "promtool cannot be installed" # Debian's package has it
# The dev profile reuses the build of the test stage.
cargo build --quiet -p clws-examples --features metrics --bin echo --bin chat || fail "echo and chat failed to build"
run_counted metrics python3 clws-examples/deploy/tests/metrics.py "$target/debug/echo" "$target/debug/chat"
finish
