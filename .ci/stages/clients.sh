#!/usr/bin/env bash
# Real clients of every draft with byte-exact round trips, and permessage-deflate with every offer
# that they can make.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt libprotocol-websocket-perl ruby ruby-websocket
need_python
need_node
build_echo

# round_trips NAME FLAG...: everything that each client supports, against a server with or without
# permessage-deflate.
round_trips() {
    local name=$1 listen=(--listen 127.0.0.1:0) url family
    shift
    if have_ipv6; then listen+=(--listen '[::1]:0'); else note "no IPv6 loopback: clients ran over IPv4 only"; fi
    serve "$name" --hixie --hixie-75 "${listen[@]}" "$@" || finish
    run_counted "perl-ruby-$name" "$ci/interop/clients/run.sh" "${server_urls[0]}/echo"
    for url in "${server_urls[@]}"; do
        family=v4
        [[ $url != *'['* ]] || family=v6
        run_counted "python-websockets-$name-$family" timeout 180 "$python" "$ci/interop/clients/python_websockets.py" "$url"
        run_counted "node-ws-$name-$family" timeout 180 node "$ci/interop/clients/node_ws.js" "$url"
    done
    # ws 0.4.32 is a client of 2014. If a later node cannot run it, a note says so, because the
    # server is not at fault.
    if node -e 'require("ws-0.4")' 2>"$out/clients.ws-0.4-load.log"; then
        run_counted "node-ws-0.4-$name" timeout 180 node "$ci/interop/clients/node_ws_0_4.js" "${server_urls[0]}"
    else
        note "ws 0.4.32 does not load on node $(node --version): its three drafts were skipped"
    fi
    still_serving "$name"
}

# deflate NAME none|takeover WINDOW THRESHOLD FLAG...: every offer that a client can make.
deflate() {
    local name=deflate-$1 about=("${@:2:3}") url
    serve "$name" "${@:5}" || finish
    url=${server_urls[0]}
    run_counted "python-websockets-$name" timeout 180 "$python" "$ci/interop/clients/python_deflate.py" "$url" "${about[@]}"
    run_counted "node-ws-$name" timeout 180 node "$ci/interop/clients/node_deflate.js" "$url" "${about[@]}"
    run_counted "negotiation-$name" timeout 180 python3 "$ci/checks/negotiation.py" "$url" "${about[@]}"
    still_serving "$name"
}

round_trips main
round_trips main-deflate --deflate-takeover --deflate-threshold 0
deflate none none 15 512 --deflate
deflate takeover takeover 15 512 --deflate-takeover
deflate none-9 none 9 0 --deflate --deflate-window 9 --deflate-threshold 0
deflate takeover-9 takeover 9 0 --deflate-takeover --deflate-window 9 --deflate-threshold 0
deflate takeover-12 takeover 12 512 --deflate-takeover --deflate-window 12
deflate none-tasks none 15 0 --deflate --deflate-threshold 0 --task-per-client
deflate takeover-tasks takeover 11 64 --deflate-takeover --deflate-window 11 --deflate-threshold 64 --task-per-client
finish
