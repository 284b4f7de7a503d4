#!/usr/bin/env bash
# Runs every criterion bench once (`--test`). It checks that they work and measures nothing.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# `--benches` also builds the libtest harness of the library, which accepts `--test` too. The dev
# profile reuses the build of the test stage, because a smoke test needs no speed.
log=$out/bench.cargo.log status=0
cargo bench --profile dev -p clws-benches --benches -- --test >"$log" 2>&1 || status=$?
passed=$(grep -cE '^Success$' "$log" || true)
started=$(grep -cE '^Testing ' "$log" || true)
((started == passed)) || fail "$started benches started, $passed succeeded"
if ((status != 0)); then
    fail "cargo bench: exit status $status"
    tail -n 60 "$log" | sed 's/^/     | /'
fi
finish
