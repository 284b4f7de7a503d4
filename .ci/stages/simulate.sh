#!/usr/bin/env bash
# The simulation of the whole server, with more seeds than `cargo test` runs. SEEDS (1000) is the
# number of seeds.
# A failing seed is printed. This command reproduces it:
#     CLWS_SEED=n cargo test -p clws-server --lib --all-features sim::tests::seeds
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

seeds=${SEEDS:-1000}
read -ra profile <<<"${SIMULATE_PROFILE:-}" # `--release` for many seeds
log=$out/$STAGE.cargo.log status=0
CLWS_SEEDS=$seeds cargo test "${profile[@]}" -p clws-server --lib --all-features sim::tests >"$log" 2>&1 || status=$?
tally_tests "$log" "$status"
((status != 0)) || note "$seeds seeds: $(grep -oE 'finished in [0-9.]+s' "$log" | tail -n 1)"
finish
