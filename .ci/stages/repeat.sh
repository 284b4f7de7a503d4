#!/usr/bin/env bash
# Repeats the stages that depend most on scheduling: first on the idle machine, then with a busy
# neighbour. One failure in many runs is a failure.
# REPEAT (20): runs per stage and load. REPEAT_STAGES ("browser test"): the stages. REPEAT_LOADS
# ("calm busy"): the loads.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

# A busy loop per core at the lowest priority. Every wake-up of another process has to displace it.
neighbours=()
# shellcheck disable=SC2317 # called by `load` and the trap
stop_neighbours() { ((${#neighbours[@]} == 0)) || kill "${neighbours[@]}" 2>/dev/null || true; neighbours=(); }
trap stop_neighbours EXIT

rm -rf "$out/repeat"
for load in ${REPEAT_LOADS:-calm busy}; do
    [[ $load == calm || $load == busy ]] || { fail "unknown load '$load': use calm or busy"; continue; }
    for stage in ${REPEAT_STAGES:-browser test}; do
        for ((n = 1; n <= ${REPEAT:-20}; n++)); do
            if [ "$load" = busy ]; then
                for ((core = $(nproc); core > 0; core--)); do
                    # It ends even if this script crashes.
                    nice -n 19 timeout 7200 bash -c 'while :; do :; done' &
                    neighbours+=("$!")
                done
            fi
            before=$failed
            check "$stage-$load-$n" "$ci/run" "$stage"
            stop_neighbours
            # All files of a failed run stay.
            ((failed == before)) || { mkdir -p "$out/repeat/$stage-$load-$n"; cp -r "$out/$stage".* "$_"; }
        done
    done
done
finish
