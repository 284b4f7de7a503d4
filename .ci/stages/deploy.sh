#!/usr/bin/env bash
# The files of clws-examples/deploy, with real programs: promtool reads the metrics of `echo` and
# `chat`, and the dashboard and the alerts name metrics that exist. nginx, HAProxy and stunnel run
# with their configurations, and `echo` as a service of systemd.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"

need_apt prometheus || fail "promtool cannot be installed" # Debian's package has it
# The dev profile reuses the build of the test stage.
cargo build --quiet -p clws-examples --features metrics,systemd --bin echo --bin chat || fail "echo and chat failed to build"
run_counted metrics python3 clws-examples/deploy/tests/metrics.py "$target/debug/echo" "$target/debug/chat"
# These packages may start services. The tests start processes of their own, on other ports.
need_apt nginx-light haproxy stunnel4 openssl libprotocol-websocket-perl systemd || fail "the proxies cannot be installed"
run_counted proxies python3 clws-examples/deploy/tests/proxies.py "$target/debug/echo" "$ci/interop/clients"
run_counted systemd python3 clws-examples/deploy/tests/systemd.py "$target/debug/echo"
finish
