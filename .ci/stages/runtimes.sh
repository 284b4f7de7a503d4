#!/usr/bin/env bash
# clws-server with each runtime feature alone, and with none. `test` runs the same tests with async-std and tokio at once.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

alone() { # COMMAND FEATURES ARGUMENT...
    cargo "$1" -p clws-server --no-default-features --features "$2" "${@:3}"
}
for features in "" async-std tokio smol; do
    # Without the development dependencies, whose features would be enabled too.
    RUSTFLAGS="${RUSTFLAGS:-} -D warnings" check "cargo check, ${features:-no runtime}" alone check "$features" --target-dir "$target/runtimes"
done
for features in "" tokio smol; do
    cargo_test -p clws-server --no-default-features --features "testing,$features" --test runtimes
done
finish
