#!/usr/bin/env bash
# Real browsers: the WebSocket of Chromium and Firefox against echo, the pages of echo and chat in
# headless Chromium, and its WebSocket over HTTP/2 against the example with_hyper.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt chromium fonts-inter fonts-noto-color-emoji # the fonts for the screenshots
need_node
build_echo
# The programs start their own servers. CI_CHAT names another chat.
pages=$root/clws-examples/tests/browser
chat=${CI_CHAT:-$target/release/chat}
[ -n "${CI_CHAT:-}" ] || cargo build --release --quiet -p clws-examples --bin chat

run_counted sockets-chromium node_tests "$ci/interop/browser/sockets.js" 300 "$echo_command" chromium
if need_apt firefox-esr; then
    run_counted sockets-firefox node_tests "$ci/interop/browser/sockets.js" 300 "$echo_command" firefox
else
    note "firefox-esr is not available: permessage-deflate ran with Chromium only"
fi
# The test stage has built this program.
cargo test --quiet --workspace --features clws-examples/axum,clws-examples/hyper --no-run
run_counted http2 node_tests "$ci/interop/browser/http2.js" 300 "$target/debug/with_hyper"
run_counted echo-page node_tests "$pages/echo_page.js" 200 "$echo_command" "$out"
run_counted chat node_tests "$pages/chat.js" 600 "$chat" "$out"
finish
