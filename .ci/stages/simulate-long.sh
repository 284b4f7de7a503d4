#!/usr/bin/env bash
# The simulation with many seeds, in the optimised build.
set -euo pipefail
export SEEDS=${SEEDS:-100000} SIMULATE_PROFILE=--release
exec bash "$(dirname "$0")/simulate.sh"
