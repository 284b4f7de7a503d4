#!/usr/bin/env bash
# A real browser: headless Chromium opens a page that uses WebSocket. One server accepts any origin,
# and the other only the origin of another page. Then follow permessage-deflate, also with Firefox,
# and the chat with its pages and a client of draft 0.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt chromium fonts-inter fonts-noto-color-emoji # the fonts for the screenshots
need_node
build_echo

serve any --listen 127.0.0.1:0 || finish
any=${server_urls[0]}
serve picky --listen 127.0.0.1:0 --origin http://allowed.example || finish
picky=${server_urls[0]}

run_counted echo timeout 200 node "$ci/interop/browser/echo.js" "$any" "$picky"
still_serving picky
stop_servers

serve none --deflate || finish
none=${server_urls[0]}
serve takeover --deflate-takeover || finish
takeover=${server_urls[0]}
run_counted deflate-chromium timeout 200 node "$ci/interop/browser/deflate.js" chromium "$none" "$takeover"
if need_apt firefox-esr; then
    run_counted deflate-firefox timeout 200 node "$ci/interop/browser/deflate.js" firefox "$none" "$takeover"
else
    note "firefox-esr is not available: permessage-deflate ran with Chromium only"
fi
still_serving takeover
stop_servers

# Each program starts a new chat process for each check. CI_CHAT names another program.
[ -n "${CI_CHAT:-}" ] || cargo build --release --quiet -p clws-examples --bin chat
for part in talk rooms connection looks echo_page; do
    run_counted "chat-$part" timeout 400 node "$ci/interop/browser/chat/$part.js" "${CI_CHAT:-$target/release/chat}" "$out"
done
finish
