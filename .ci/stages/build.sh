#!/usr/bin/env bash
# The release binary the stages behind this one talk to, built as the README's command builds it.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

build_echo || fail "echo does not build"
finish
