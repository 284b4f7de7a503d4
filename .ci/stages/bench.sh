#!/usr/bin/env bash
# Runs every criterion bench once (`--test`), and every attack of `abuse` for a moment. It checks that
# they work and measures nothing. It also compiles the servers that the comparison measures.
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

# Attacks on `echo`, each beside a client that behaves well. The verdicts are not about time.
check "cargo build, echo" cargo build --locked -p clws-examples --bin echo
check "abuse --quick" cargo run --locked -p clws-benches --bin abuse -- --quick

# The same with TLS, and the load generator with TLS. The test stage has neither.
check "cargo build, echo with TLS" cargo build --locked -p clws-examples --features tls --bin echo
check "abuse --quick --tls" cargo run --locked -p clws-benches --features tls --bin abuse -- --quick --tls
cargo_test --locked -p clws-benches --features tls --test load tls

# The peers are a workspace of their own, so no other stage compiles them.
check "cargo clippy, benches/peers" cargo clippy --locked --all-targets --manifest-path benches/peers/Cargo.toml \
    --target-dir "$target/peers" -- -D warnings
finish
