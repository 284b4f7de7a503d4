#!/usr/bin/env bash
# Real clients of every draft, round trips checked byte for byte.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt libprotocol-websocket-perl ruby ruby-websocket
need_python
need_node
build_echo

listen=(--listen 127.0.0.1:0)
if have_ipv6; then listen+=(--listen '[::1]:0'); else note "no IPv6 loopback here: clients ran over IPv4 only"; fi
serve main --hixie "${listen[@]}" || finish

v4=${server_urls[0]}
run_counted perl-ruby "$ci/clients/run.sh" "$v4/echo"
for url in "${server_urls[@]}"; do
    family=v4
    [[ $url != *'['* ]] || family=v6
    run_counted "python-websockets-$family" timeout 60 "$python" "$ci/clients/python_websockets.py" "$url"
    run_counted "node-ws-$family" timeout 60 node "$ci/clients/node_ws.js" "$url"
done
# ws 0.4.32 is a client of 2014: should a later node no longer run it, that is said, and is no failure of the server.
if node -e 'require("ws-0.4")' 2>"$out/clients.ws-0.4-load.log"; then
    run_counted node-ws-0.4 timeout 60 node "$ci/clients/node_ws_0_4.js" "$v4"
else
    note "ws 0.4.32 does not load on node $(node --version): its three drafts were not run"
fi
still_serving main
finish
