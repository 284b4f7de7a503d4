#!/usr/bin/env bash
# run.sh ws://HOST:PORT/PATH    runs real clients of every draft against an echo server
# Exits with 0 if all pass. Needs Debian's packages libprotocol-websocket-perl, ruby and
# ruby-websocket (install them with apt-get install -y).
set -u
cd "$(dirname "$0")" || exit 2
url=${1:?usage: run.sh ws://HOST:PORT/PATH}
pass=0 failed=0
one() { # NAME DRAFT COMMAND...
  local name=$1 draft=$2 out; shift 2
  if out=$(timeout 60 "$@" "$url" --draft "$draft" 2>&1 </dev/null); then pass=$((pass + 1)); else failed=$((failed + 1)); fi
  printf '%-26s %-8s %s\n' "$name" "$draft" "$(printf '%s\n' "$out" | tail -n 1 | cut -c1-160)"
}
for draft in hixie-75 hybi-00 hybi-08 rfc6455; do one 'Protocol::WebSocket (Perl)' "$draft" perl perl_protocol_websocket.pl; done
for draft in hixie-75 hybi-00 hybi-07 hybi-08 rfc6455; do one 'websocket (Ruby)' "$draft" ruby ruby_websocket.rb; done
echo "$pass passed, $failed failed"
[ "$failed" = 0 ]
