#!/usr/bin/env bash
# Installs everything the other stages need. Each of them also asks for its own part, so that it can be run alone.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

install() { "$@" || fail "${*:2} could not be installed"; }
install need_apt git shellcheck libprotocol-websocket-perl ruby ruby-websocket chromium
need_apt firefox-esr || note "firefox-esr could not be installed: the browser stage does without"
install need_python
install need_node
install need_autobahn
install need_cargo_fuzz
install retry cargo fetch --locked --quiet
for manifest in */fuzz/Cargo.toml; do install retry cargo fetch --locked --quiet --manifest-path "$manifest"; done
finish
