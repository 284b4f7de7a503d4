#!/usr/bin/env bash
# A real browser: headless Chromium opens a page that uses WebSocket. One server takes any origin, one only another
# page's.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt chromium
need_node
build_echo

serve any --listen 127.0.0.1:0 || finish
any=${server_urls[0]}
serve picky --listen 127.0.0.1:0 --origin http://allowed.example || finish
picky=${server_urls[0]}

run_counted echo timeout 90 node "$ci/browser/echo.js" "$any" "$picky"
still_serving picky
finish
