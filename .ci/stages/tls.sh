#!/usr/bin/env bash
# TLS with real clients: the examples `echo` and `client`, clients of every version that verify the
# certificate, edge cases by openssl, and Chromium.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt openssl libprotocol-websocket-perl libio-socket-ssl-perl ruby ruby-websocket chromium
need_python
need_node

# The dev profile reuses the build of the test stage.
cargo build --quiet -p clws-examples --features tls --bin echo --bin client || fail "echo and client failed to build"
echo_command=$target/debug/echo
cargo_test -p clws-examples --features tls --lib --test examples tls

# An authority, and two certificates for loopback that it signed.
folder=$(mktemp -d)
trap '[ -z "$program" ] || kill "$program" 2>/dev/null || true; stop_servers; rm -rf "$folder"' EXIT
authority() { openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "$@"; }
authority -subj "/CN=the authority of the test" -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>"$out/tls.openssl.log" || fail "openssl"
for name in first second; do
    authority -subj "/CN=$name" -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -addext "basicConstraints=critical,CA:FALSE" \
        -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -keyout "$folder/$name.key" -out "$folder/$name.pem" 2>>"$out/tls.openssl.log" || {
        # OpenSSL 1.1 has no `req -CA`.
        fail "openssl cannot sign a certificate: see target/ci/tls.openssl.log"
    }
done

serve clients --hixie --hixie-75 --deflate --tls-cert "$folder/first.pem" --tls-key "$folder/first.key" || finish
url=${server_urls[0]}/echo
cd "$ci/interop/clients"
# runs NAME COMMAND...: a client succeeds if it trusts the authority, and refuses the certificate if not.
runs() {
    check "$1" timeout 90 env SSL_CERT_FILE="$folder/ca.pem" NODE_EXTRA_CA_CERTS="$folder/ca.pem" "${@:2}"
}
refuses() {
    if timeout 90 "${@:2}" >"$out/tls.refuses.log" 2>&1 </dev/null; then fail "$1 accepts an unknown authority"; else
        check "$1 refuses an unknown authority" grep -qiE 'certificate' "$out/tls.refuses.log"
    fi
}
for version in hixie-75 hybi-00 hybi-08 rfc6455; do runs "perl $version" perl perl_protocol_websocket.pl "$url" "$version"; done
for version in hixie-75 hybi-00 hybi-07 hybi-08 rfc6455; do runs "ruby $version" ruby ruby_websocket.rb "$url" "$version"; done
for version in 7 8 13; do runs "ws 0.4 $version" node node_ws_0_4.js "$url" "$version"; done
runs "ws 8" node node_ws.js "$url" version-8
runs "ws" node node_ws.js "$url" default compressed
runs "websockets" "$python" python_websockets.py "$url" default compressed
refuses "perl" perl perl_protocol_websocket.pl "$url" rfc6455
refuses "ruby" ruby ruby_websocket.rb "$url" rfc6455
refuses "ws" node node_ws.js "$url" none
refuses "websockets" "$python" python_websockets.py "$url" none
run_counted openssl python3 "$ci/interop/tls/openssl.py" "${server_urls[0]#wss://}" "$folder/ca.pem"
still_serving clients
cd "$root"

run_counted chromium node_tests "$ci/interop/browser/tls.js" 300 "$echo_command" "$folder"
finish
