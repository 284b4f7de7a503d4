#!/usr/bin/env bash
# Builds the release binaries for the later stages, with the commands of the README.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

build_echo || fail "echo failed to build"
cargo build --release --quiet -p clws-examples --bin chat || fail "chat failed to build"
finish
