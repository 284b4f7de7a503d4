#!/usr/bin/env bash
# clws-server with each runtime feature alone, with none, and with none but `http`. `test` runs the same tests with async-std and tokio at once.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

for features in "" async-std tokio smol http; do
    # Without the development dependencies, whose features would be enabled too.
    check "cargo clippy, ${features:-no runtime}" \
        cargo clippy -p clws-server --no-default-features --features "$features" -- -D warnings
done
# Links to items of a feature break in the documentation without it.
RUSTDOCFLAGS="-D warnings" check "cargo doc, no feature" cargo doc --no-deps -p clws-server --no-default-features
for features in "" tokio smol; do
    cargo_test -p clws-server --no-default-features --features "testing,$features" --test runtimes
done
finish
