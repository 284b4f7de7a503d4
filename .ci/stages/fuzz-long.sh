#!/usr/bin/env bash
# The same for FUZZ_MINUTES (30) of each target, one at a time on one core, from what earlier long runs found.
set -euo pipefail
minutes=${FUZZ_MINUTES:-30}
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || { echo "FUZZ_MINUTES is a number from 1 to 9999, not '$minutes'" >&2; exit 2; }
export FUZZ_SECONDS=$((minutes * 60)) FUZZ_JOBS=${FUZZ_JOBS:-1} FUZZ_KEEP=1
exec nice -n 19 bash "$(dirname "$0")/fuzz.sh"
