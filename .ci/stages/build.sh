#!/usr/bin/env bash
# The release binaries the stages behind this one talk to, built as the README's commands build them.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

build_echo || fail "echo does not build"
cargo build --release --quiet -p clws-examples --bin chat || fail "chat does not build"
finish
