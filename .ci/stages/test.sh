#!/usr/bin/env bash
# The README's test command. Every `test result:` line counts: unit, integration and documentation tests.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# A test that allocates without end dies of it here, instead of taking the machine along.
ulimit -v $((16 << 20))

log=$out/test.cargo.log status=0
cargo test --workspace --no-fail-fast >"$log" 2>&1 || status=$?
read -r passed failed ignored < <(awk '/^test result: / { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$log")
((ignored == 0)) || fail "$ignored ignored tests"
grep -E '^test .*FAILED$' "$log" || true
if ((status != 0)); then
    # A crate that does not compile, or a test binary that died, has no result line.
    ((failed)) || fail "cargo test: exit status $status"
    tail -n 80 "$log" | sed 's/^/     | /'
fi
finish
