#!/usr/bin/env bash
# Real clients of every version. Each run sends the messages of interop/clients/cases.tsv and
# compares the echoes, without and with permessage-deflate.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt libprotocol-websocket-perl ruby ruby-websocket
need_python
need_node
build_echo
cd "$ci/interop/clients"

declare -A command=([perl]="perl perl_protocol_websocket.pl" [ruby]="ruby ruby_websocket.rb" [ws-0.4]="node node_ws_0_4.js"
    [ws]="node node_ws.js" [websockets]="$python python_websockets.py")

# runs CLIENT ARGUMENTS...: a run of the client for each argument, which may have several words.
runs() {
    local arguments
    for arguments in "${@:2}"; do
        # shellcheck disable=SC2086 # several words
        check "$server: $1 $arguments, ${url%:*}" timeout 90 ${command[$1]} "$url/echo" $arguments
    done
}

# start NAME FLAG...
start() {
    [ -z "${server:-}" ] || still_serving "$server"
    server=$1
    serve "$@" || finish
    url=${server_urls[0]}
}

# The clients that offer no extension.
without_extension() {
    runs perl hixie-75 hybi-00 hybi-08 rfc6455
    runs ruby hixie-75 hybi-00 hybi-07 hybi-08 rfc6455
    # If a later node cannot run this client of 2014, a note says so: the server is not at fault.
    if node -e 'require("ws-0.4")' 2>"$out/clients.ws-0.4-load.log"; then
        runs ws-0.4 7 8 13
    else
        note "ws 0.4.32 does not load on node $(node --version): its three versions were skipped"
    fi
    runs ws version-8 none
    runs websockets none
}
offers=('default compressed' 'alone compressed' 'small compressed')

listen=(--listen 127.0.0.1:0)
if have_ipv6; then listen+=(--listen '[::1]:0'); else note "no IPv6 loopback: clients ran over IPv4 only"; fi
start plain --hixie --hixie-75 "${listen[@]}"
without_extension
for url in "${server_urls[@]}"; do
    runs ws default
    runs websockets default
done

start takeover --hixie --hixie-75 --deflate-takeover --deflate-threshold 0
without_extension
runs ws 'default context' "${offers[@]:1}"
runs websockets 'default context' "${offers[@]:1}" 'two compressed'

start no-takeover --deflate
runs ws "${offers[@]}"
runs websockets "${offers[@]}" 'two compressed'

start takeover-12-tasks --deflate-takeover --deflate-window 12 --deflate-threshold 64 --task-per-client
runs ws none 'default context' "${offers[@]:1}"
runs websockets none 'default context' "${offers[@]:1}" 'two compressed'

# A window of 2^9 reaches no further back than the message.
start takeover-9-tasks --deflate-takeover --deflate-window 9 --task-per-client
runs ws "${offers[@]}"
runs websockets "${offers[@]}" 'two compressed'
still_serving "$server"
finish
