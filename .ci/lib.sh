# shellcheck shell=bash
# Shared parts of all stages: paths, counting, installing, starting an echo server.
# A stage sources this file, calls check, ok, fail or tally, and ends with `finish`, which prints
# `N passed, N failed`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ci=$root/.ci
out=$root/target/ci          # logs, virtual environments, node_modules, reports
target=${CARGO_TARGET_DIR:-$root/target}
# Line tables are enough for backtraces. Full debug information takes longer to link than the tests
# run.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-line-tables-only}
STAGE=${STAGE:-stage}
cd "$root" || exit 2
mkdir -p "$out"

passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok   $*"; }
fail() { failed=$((failed + 1)); echo "FAIL $*"; }
# .ci/run shows lines that start with `note:` even if the stage passes.
note() { echo "note: $*"; }
finish() {
    echo "$passed passed, $failed failed"
    exit $((failed > 0))
}

# check NAME COMMAND...: one counted check. Its output is kept in a file and shown on failure.
check() {
    local name=$1 log
    shift
    log=$out/$STAGE.${name//[^A-Za-z0-9_.-]/-}.log
    if "$@" >"$log" 2>&1 </dev/null; then
        ok "$name"
    else
        fail "$name (${log#"$root"/})"
        tail -n 40 "$log" | sed 's/^/     | /'
    fi
}

# tally LOG STATUS NAME: adds the `N passed, N failed` at the end of LOG, and shows its notes. A run
# without that line, without a test, or with a contradicting exit status is a failure.
tally() {
    local p=0 f=0
    read -r p f < <(tail -n 1 "$1" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p') || true
    passed=$((passed + p)) failed=$((failed + f))
    if ((p + f == 0 || ($2 == 0) != (f == 0))); then
        fail "$3: exit status $2, no valid closing line"
        tail -n 40 "$1" | sed 's/^/     | /'
    elif ((f)); then
        grep -E -A 12 '^(FAIL|not ok)' "$1" | head -n 150 || true
    fi
    grep '^note:' "$1" || true
    echo "     $3: $p passed, $f failed"
}

# cargo_test ARGUMENT...: runs `cargo test` and adds its counts. An ignored test counts as a failure.
cargo_test() {
    local log=$out/$STAGE.cargo.log status=0 p f i
    cargo test "$@" >"$log" 2>&1 || status=$?
    read -r p f i < <(awk '/^test result: / { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$log")
    passed=$((passed + p)) failed=$((failed + f))
    ((i == 0)) || fail "$i ignored tests"
    grep -E '^test .*FAILED$' "$log" || true
    ((status != 0)) || return 0
    # A crate that does not compile, or a test binary that crashed, has no result line.
    ((failed)) || fail "cargo test: exit status $status"
    # The output of failed tests comes before the result line of each test binary.
    sed -n '/^failures:$/,/^test result: /p' "$log" | head -n 300 | sed 's/^/     | /'
    tail -n 20 "$log" | sed 's/^/     | /'
}

# run_counted NAME COMMAND...: runs a program that ends with `N passed, N failed`. It runs in the
# background, because bash handles no signal while a command runs in the foreground.
program=
run_counted() {
    local log=$out/$STAGE.$1.log status=0
    "${@:2}" >"$log" 2>&1 </dev/null &
    program=$!
    wait "$program" || status=$?
    program=
    tally "$log" "$status" "$1"
}

# node_tests FILE SECONDS ARGUMENT...: runs tests of node:test, and adds the closing line of the gate.
# shellcheck disable=SC2317 # called through run_counted
node_tests() {
    timeout "$2" node --test-reporter=tap --test-force-exit "$1" "${@:3}" | awk '
        { print }
        /^# pass / { passed = $3 }
        /^# (fail|cancelled) / { failed += $3 }
        END { print passed + 0 " passed, " failed + 0 " failed" }'
}

# --- installing: each function does nothing if its work is already done ---

retry() { # COMMAND...: registries fail occasionally
    local n
    for n in 1 2 3; do
        "$@" && return 0
        sleep $((n * 5))
    done
    return 1
}

need_apt() { # PACKAGE...
    local p missing=() sudo=()
    for p; do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
    ((${#missing[@]})) || return 0
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    retry "${apt[@]}" update && retry "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}

# changed DIR FILE...: fails if DIR was installed from the same files. Otherwise it empties DIR.
changed() {
    installing=$(cat "${@:2}" | sha256sum)
    [ "$(cat "$1/.stamp" 2>/dev/null)" != "$installing" ] && rm -rf "$1" && mkdir -p "$1"
}
installed() { echo "$installing" >"$1/.stamp"; }

# venv DIR COMMAND: a virtual environment, made by this Python.
venv() {
    # Debian has one such package for each Python: python3-venv, python3.11-venv.
    "$2" -c 'import venv, ensurepip' 2>/dev/null || need_apt "${2##*/}-venv" || return 1
    "$2" -m venv "$1"
}
pip() { retry "$1/bin/python" -m pip -q --disable-pip-version-check "${@:2}"; }

need_python() { # sets $python: a virtual environment with requirements.txt in it
    local dir=$out/venv wanted=$ci/interop/requirements.txt
    # shellcheck disable=SC2034 # used by stages
    python=$dir/bin/python
    changed "$dir" "$wanted" || return 0
    venv "$dir" python3 && pip "$dir" install -r "$wanted" && installed "$dir"
}

need_node() { # $out/node/node_modules, with the exact versions in package.json
    local dir=$out/node
    export NODE_PATH=$dir/node_modules
    { command -v node && command -v npm; } >/dev/null || need_apt nodejs npm || return 1
    # The browser stage uses this flag. It came with 20.14 and 22, and Debian 12 has 18.
    if ! node --test-force-exit -e '' 2>/dev/null; then
        echo "node $(node --version) has no --test-force-exit: install node 20.14 or 22" >&2
        return 1
    fi
    changed "$dir" "$ci/interop/package.json" || return 0
    cp "$ci/interop/package.json" "$dir/"
    # No package needs an install script: ws 0.4 has a JavaScript fallback for its native part.
    retry npm install --prefix "$dir" --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error && installed "$dir"
}

need_autobahn() { # sets $autobahn: the Python of a virtual environment with the suite, ported to Python 3
    local kit=$ci/interop/autobahn dir=$out/autobahn from=(--no-build-isolation)
    autobahn=$dir/bin/python
    changed "$dir" "$kit"/{requirements.txt,suite.txt,port.py,py3glue.py} || return 0
    # autobahn 0.10.9 does not run on later Pythons.
    venv "$dir" "$(type -P python3.11 python3.12 python3.13 python3.10 python3.9 python3 | head -n 1)" || return 1
    # autobahn and the suite are source distributions. The pinned setuptools makes their build reproducible.
    pip "$dir" install setuptools==75.8.0 wheel==0.45.1 && pip "$dir" install "${from[@]}" -r "$kit/requirements.txt" &&
        pip "$dir" download --no-deps --no-binary :all: "${from[@]}" --require-hashes -d "$dir/sdist" -r "$kit/suite.txt" &&
        tar -xzf "$dir"/sdist/autobahntestsuite-*.tar.gz -C "$dir/sdist" --strip-components=1 &&
        "$autobahn" "$kit/port.py" "$dir/sdist" "$dir"/lib/python3*/site-packages && installed "$dir"
}

need_cargo_fuzz() { # `cargo fuzz`, and the C++ compiler for libFuzzer
    local version=0.13.2
    export PATH=$out/cargo-fuzz/bin:$PATH
    command -v c++ >/dev/null || need_apt g++ || return 1
    [ "$("$out/cargo-fuzz/bin/cargo-fuzz" fuzz --version 2>/dev/null)" = "cargo-fuzz $version" ] && return 0
    retry cargo install --quiet --locked --root "$out/cargo-fuzz" --version "$version" cargo-fuzz
}

# --- the server under test ---

# CI_ECHO names another program with the same flags and first lines, to test the stages with.
build_echo() {
    echo_command=${CI_ECHO:-$target/release/echo}
    [ -n "${CI_ECHO:-}" ] || cargo build --release --quiet -p clws-examples --bin echo
}

server_pids=()
stop_servers() {
    local pid
    for pid in "${server_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${server_pids[@]}"; do
        timeout 3 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    server_pids=()
}
trap '[ -z "$program" ] || kill "$program" 2>/dev/null || true; stop_servers' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# serve NAME FLAG...: starts an echo server on a free loopback port. Sets server_pid and
# server_urls: one URL without the final slash for each `listening on ws://...` or `wss://...` line, one per
# --listen flag, or one without any.
serve() {
    local name=$1 log want=0 arg
    shift
    log=$out/$STAGE.server-$name.log
    for arg; do [ "$arg" != --listen ] || want=$((want + 1)); done
    ((want)) || { want=1; set -- --listen 127.0.0.1:0 "$@"; }
    : >"$log"  # truncate now, so that lines of an older run are not read
    # $echo_command is not quoted: CI_ECHO may hold a command of several words.
    # shellcheck disable=SC2086
    $echo_command "$@" >"$log" 2>&1 </dev/null &
    server_pid=$!
    server_pids+=("$server_pid")
    for _ in {1..300}; do
        mapfile -t server_urls < <(sed -nE 's|^listening on (wss?://[^ /]+).*|\1|p' "$log")
        ((${#server_urls[@]} < want)) || return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    fail "echo $* did not print its address"
    tail -n 20 "$log" | sed 's/^/     | /'
    return 1
}

# still_serving NAME: checks that the server still runs and logged no error. Faults of clients are
# not logged as errors.
still_serving() {
    local log=$out/$STAGE.server-$1.log
    if kill -0 "$server_pid" 2>/dev/null; then ok "$1: the server is still up"; else fail "$1: the server has exited"; fi
    if grep -qE '(^|[^A-Za-z])(ERROR|panicked at)' "$log"; then
        fail "$1: error in the server's log: $(grep -m 1 -E 'ERROR|panicked at' "$log" | cut -c1-200)"
    else
        ok "$1: no error in the server's log"
    fi
}

have_ipv6() { grep -q '^0\{31\}1 .* lo$' /proc/net/if_inet6 2>/dev/null; }
