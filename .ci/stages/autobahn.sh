#!/usr/bin/env bash
# The Autobahn suite against echo, on its shards and on the driver for any stream (a task per client): cases 1 to 10,
# all of them OK or INFORMATIONAL, none NON-STRICT.
# CI_DEFLATE=1 adds the 216 cases of permessage-deflate, 12.* and 13.* side by side.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_autobahn
build_echo

# suite URL NAME CASES SECONDS PATTERN...
suite() {
    local url=$1 name=$2 cases=$3 seconds=$4
    shift 4
    "$out/autobahn/venv/bin/python" "$ci/autobahn/run.py" --strict --expect "$cases" --timeout "$seconds" \
        "$url/" "$out/autobahn/report-$name" "$@"
}

for driver in shards tasks; do
    flags=()
    [ $driver = shards ] || flags=(--task-per-client)
    serve $driver --hixie "${flags[@]}" || finish
    url=${server_urls[0]}
    run_counted "cases-1-10-$driver" suite "$url" "1-10-$driver" 301 300 '1.*' '2.*' '3.*' '4.*' '5.*' '6.*' '7.*' '9.*' '10.*'
    if [ "${CI_DEFLATE:-0}" = 1 ] && [ $driver = shards ]; then
        suite "$url" 13 126 800 '13.*' >"$out/autobahn.13.log" 2>&1 &
        beside=$! status=0
        run_counted "cases-12" suite "$url" 12 90 800 '12.*'
        wait "$beside" || status=$?
        tally "$out/autobahn.13.log" "$status" "cases-13"
    fi
    still_serving $driver
done
finish
