#!/usr/bin/env bash
# The Autobahn suite against echo, on its shards and with a task per client. It runs cases 1 to 10
# without and with permessage-deflate, and on the shards also the 216 cases of permessage-deflate,
# 12.* and 13.*. All must be OK or INFORMATIONAL, none NON-STRICT.
# CI_DEFLATE=0 skips all cases with permessage-deflate: one minute instead of six.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_autobahn
build_echo

plain=('1.*' '2.*' '3.*' '4.*' '5.*' '6.*' '7.*' '9.*' '10.*')

# suite URL NAME CASES SECONDS PATTERN...
suite() {
    local url=$1 name=$2 cases=$3 seconds=$4
    shift 4
    "$out/autobahn/venv/bin/python" "$ci/interop/autobahn/run.py" --strict --expect "$cases" --timeout "$seconds" \
        "$url/" "$out/autobahn/report-$name" "$@"
}

# cases_1_to_10 NAME FLAG...: runs on a new server.
cases_1_to_10() {
    local name=$1
    shift
    serve "$name" --hixie "$@" || finish
    run_counted "cases-1-10-$name" suite "${server_urls[0]}" "1-10-$name" 301 300 "${plain[@]}"
    still_serving "$name"
}

# 12.* takes as long as all other cases together, so it runs in parallel. One suite is one thread on
# either side.
parallel=
if [ "${CI_DEFLATE:-1}" != 0 ]; then
    serve deflate --hixie --deflate || finish
    deflate_pid=$server_pid deflate=${server_urls[0]}
    suite "$deflate" 12 90 1200 '12.*' >"$out/autobahn.12.log" 2>&1 &
    parallel=$!
    run_counted cases-13 suite "$deflate" 13 126 900 '13.*'
    run_counted cases-1-10-deflate suite "$deflate" 1-10-deflate 301 300 "${plain[@]}"
    cases_1_to_10 deflate-tasks --deflate --task-per-client
fi
cases_1_to_10 shards
cases_1_to_10 tasks --task-per-client
if [ -n "$parallel" ]; then
    status=0
    wait "$parallel" || status=$?
    tally "$out/autobahn.12.log" "$status" cases-12
    echo "     cases-12: $(tail -n 1 "$out/autobahn.12.log")"
    server_pid=$deflate_pid
    still_serving deflate
fi
finish
