#!/usr/bin/env bash
# The simulation of the whole server, with more seeds than `cargo test` runs. SEEDS is the number of
# seeds: 1,000, and 100,000 for simulate-long, which uses the optimised build.
# A failing seed is printed. This command reproduces it:
#     CLWS_SEED=n cargo test -p clws-server --lib --all-features sim::tests::seeds
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

seeds=${SEEDS:-1000} profile=()
[ "$STAGE" = simulate ] || seeds=${SEEDS:-100000} profile=(--release)
export CLWS_SEEDS=$seeds
cargo_test "${profile[@]}" -p clws-server --lib --all-features sim::tests
((failed)) || note "$seeds seeds: $(grep -oE 'finished in [0-9.]+s' "$out/$STAGE.cargo.log" | tail -n 1)"
finish
