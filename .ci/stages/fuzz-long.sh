#!/usr/bin/env bash
# Fuzzes each target for FUZZ_MINUTES (30), one at a time on one core, starting from the corpus of
# earlier long runs.
set -euo pipefail
minutes=${FUZZ_MINUTES:-30}
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || { echo "FUZZ_MINUTES must be a number from 1 to 9999, not '$minutes'" >&2; exit 2; }
export FUZZ_SECONDS=$((minutes * 60)) FUZZ_JOBS=${FUZZ_JOBS:-1} FUZZ_KEEP=1
exec nice -n 19 bash "$(dirname "$0")/fuzz.sh"
