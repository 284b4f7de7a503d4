#!/usr/bin/env bash
# Every criterion bench runs once (`--test`): they compile and work. It measures nothing.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# `--benches` also builds the libtest harness of the library, which takes `--test` too. In the profile of the tests: a
# smoke run needs no speed, and what the test stage compiled serves again.
log=$out/bench.cargo.log status=0
cargo bench --profile dev -p clws-benches --benches -- --test >"$log" 2>&1 || status=$?
passed=$(grep -cE '^Success$' "$log" || true)
started=$(grep -cE '^Testing ' "$log" || true)
((started == passed)) || fail "$started benches started, $passed ended well"
if ((status != 0)); then
    fail "cargo bench: exit status $status"
    tail -n 60 "$log" | sed 's/^/     | /'
fi
finish
