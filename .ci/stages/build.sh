#!/usr/bin/env bash
# Builds the release binaries for the later stages.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
cargo build --release --quiet -p clws-examples --bin echo --bin chat || fail "echo and chat failed to build"
finish
