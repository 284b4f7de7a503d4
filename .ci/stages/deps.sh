#!/usr/bin/env bash
# Installs the dependencies of all stages. Each stage also installs its own, so that it can run
# alone.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

install() { "$@" || fail "${*:2} cannot be installed"; }
install need_apt git shellcheck openssl libprotocol-websocket-perl libio-socket-ssl-perl ruby ruby-websocket chromium prometheus
need_apt firefox-esr || note "firefox-esr cannot be installed: the browser stage skips it"
install need_python
install need_node
install need_autobahn
install need_cargo_fuzz
install retry cargo fetch --locked --quiet
for manifest in */fuzz/Cargo.toml benches/peers/Cargo.toml; do install retry cargo fetch --locked --quiet --manifest-path "$manifest"; done
finish
