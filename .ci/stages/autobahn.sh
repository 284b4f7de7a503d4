#!/usr/bin/env bash
# The Autobahn suite against echo, on its shards and with a task per client. It runs cases 1 to 10
# without and with permessage-deflate, and on the shards also the 216 cases of permessage-deflate,
# 12.* and 13.*. All must be OK or INFORMATIONAL, none NON-STRICT.
# CI_DEFLATE=0 skips all cases with permessage-deflate: one minute instead of six.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_autobahn
build_echo

# suite NAME CASES SECONDS PATTERN...: runs against $url.
suite() {
    timeout "$3" "$autobahn" -u "$ci/interop/autobahn/run.py" "$url/" "$out/report-$1" "$2" "${@:4}"
}

# cases_1_to_10 NAME FLAG...: runs on a new server.
cases_1_to_10() {
    serve "$1" --hixie "${@:2}" || finish
    url=${server_urls[0]}
    run_counted "cases-1-10-$1" suite "$1" 301 300 '1.*' '2.*' '3.*' '4.*' '5.*' '6.*' '7.*' '9.*' '10.*'
    still_serving "$1"
}

# 12.* takes as long as all other cases together, so it runs in parallel. One suite is one thread on
# either side.
parallel=
if [ "${CI_DEFLATE:-1}" != 0 ]; then
    serve deflate-12-13 --deflate || finish
    url=${server_urls[0]} deflate_pid=$server_pid
    suite 12 90 1200 '12.*' >"$out/autobahn.12.log" 2>&1 &
    parallel=$!
    run_counted cases-13 suite 13 126 900 '13.*'
    cases_1_to_10 deflate --deflate
    cases_1_to_10 deflate-tasks --deflate --task-per-client
fi
cases_1_to_10 shards
cases_1_to_10 tasks --task-per-client
if [ -n "$parallel" ]; then
    status=0
    wait "$parallel" || status=$?
    tally "$out/autobahn.12.log" "$status" cases-12
    server_pid=$deflate_pid
    still_serving deflate-12-13
fi
finish
