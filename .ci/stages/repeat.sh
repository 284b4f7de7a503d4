#!/usr/bin/env bash
# Repeats the stages that depend most on scheduling: first on the idle machine, then with a busy
# neighbour. One failure in many runs is a failure.
# REPEAT (20): runs per stage and load. REPEAT_STAGES ("browser test"): the stages. REPEAT_LOADS
# ("calm busy"): the loads.
# shellcheck disable=SC2317 # stop_runs is called by the trap
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

repeat=${REPEAT:-20}
read -ra stages <<<"${REPEAT_STAGES:-browser test}"
read -ra loads <<<"${REPEAT_LOADS:-calm busy}"
LONGEST=7200 # seconds after which a neighbour exits even if this script crashes

child=
neighbours=()
# Starts one busy loop per core at the lowest priority. Every wake-up of another process has to
# displace it.
start_neighbours() {
    local n
    for ((n = $(nproc); n > 0; n--)); do
        nice -n 19 bash -c "while ((SECONDS < $LONGEST)); do :; done" &
        neighbours+=("$!")
    done
}
stop_neighbours() {
    local pid
    for pid in "${neighbours[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    neighbours=()
}
stop_runs() {
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    stop_neighbours
}
trap stop_runs EXIT

# one_run STAGE LOAD NUMBER: one run of a stage, counted as a check. Keeps its log, and on failure
# all its files.
one_run() {
    local stage=$1 name status=0 line kept
    name=$(printf '%s-%s-%03d' "$1" "$2" "$3")
    kept=$out/repeat/$name
    [ "$2" != busy ] || start_neighbours
    # In the background, because bash handles no signal while a command runs in the foreground.
    "$ci/run" "$stage" >"$kept.log" 2>&1 </dev/null &
    child=$!
    wait "$child" || status=$?
    child=
    stop_neighbours
    line=$(tail -n 1 "$kept.log")
    if ((status == 0)); then
        ok "$name: $line"
    else
        fail "$name: exit status $status, $line (${kept#"$root"/})"
        grep -E '^ *(FAIL|INVALID)|FAILED| FAIL ' "$kept.log" | head -n 20 | sed 's/^/     | /' || true
        mkdir -p "$kept"
        cp -r "$out/$stage".* "$kept/" || true
    fi
}

rm -rf "$out/repeat"
mkdir -p "$out/repeat"
for load in "${loads[@]}"; do
    [[ $load == calm || $load == busy ]] || { fail "unknown load '$load'; loads: calm busy"; continue; }
    for stage in "${stages[@]}"; do
        before=$failed
        for ((n = 1; n <= repeat; n++)); do one_run "$stage" "$load" "$n"; done
        note "$stage, $load: $((repeat - failed + before)) of $repeat runs passed"
    done
done
finish
