#!/usr/bin/env bash
# Fuzzes every target of the crates' fuzz folders from its seeds, for FUZZ_SECONDS (20) each.
# fuzz-long takes FUZZ_MINUTES (30) each, one target at a time on one core, and starts from the corpus
# of earlier long runs. An input that fails is printed and kept in target/ci/fuzz/found/TARGET.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_cargo_fuzz

seconds=${FUZZ_SECONDS:-20} jobs=$(nproc)
if [ "$STAGE" = fuzz-long ]; then
    seconds=$((${FUZZ_MINUTES:-30} * 60)) jobs=1
    renice -n 19 $$ >/dev/null
fi
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "FUZZ_SECONDS must be a number, not '$seconds'" >&2; exit 2; }

# The coverage flags of cargo-fuzz are unstable. Debug assertions and overflow checks are on. A
# sanitizer is unnecessary, because there is no unsafe code.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="${RUSTFLAGS:-} -D warnings" RUST_BACKTRACE=1
host=$(rustc -vV | sed -n 's/^host: //p')
bins=$target/fuzz/$host/release

# run CRATE TARGET: writes the output to a log, and the exit status to a file.
run() {
    local dir=$out/fuzz corpus=$out/fuzz/corpus/$2 status=0 dict=()
    [ "$STAGE" = fuzz-long ] || rm -rf "$corpus"
    mkdir -p "$corpus" "$dir/found/$2"
    [ ! -f "$root/$1/fuzz/dict" ] || dict=(-dict="$root/$1/fuzz/dict")
    # The limit per input is for inputs that hang. It is long because the machine may be busy.
    "$bins/$2" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
        "${dict[@]}" -artifact_prefix="$dir/found/$2/" "$corpus" "$root/$1/fuzz/seeds/$2" >"$out/$STAGE.$2.log" 2>&1 </dev/null || status=$?
    echo "$status" >"$dir/$2.status"
}

# report CRATE TARGET: one check.
report() {
    local status log=$out/$STAGE.$2.log units found
    status=$(cat "$out/fuzz/$2.status" 2>/dev/null || echo none)
    units=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$status" = 0 ] && ((${units:-0} > 0)); then
        ok "$2"
        note "$2: $units inputs in $seconds s, $(find "$root/$1/fuzz/seeds/$2" -type f | wc -l) of them seeds"
        return
    fi
    fail "$2: exit status $status (${log#"$root"/})"
    grep -vE '^(#|DEBUG|INFO|WARNING)' "$log" | head -n 60 | sed 's/^/     | /'
    for found in "$out/fuzz/found/$2"/*; do
        [ -f "$found" ] || continue
        echo "     ${found#"$root"/}, reproduce with: ${bins#"$root"/}/$2 ${found#"$root"/}"
        echo "     base64: $(base64 -w0 "$found" | head -c 20000)"
    done
}

pairs=()
for crate in clws-proto clws-handshake clws-server; do
    [ -d "$crate/fuzz" ] || continue
    check "$crate: targets compile" cargo fuzz build --fuzz-dir "$crate/fuzz" --target-dir "$target/fuzz" --sanitizer none
    while read -r name; do
        pairs+=("$crate $name")
        rm -f "$out/fuzz/$name.status" "$out/$STAGE.$name.log"
    done < <(cargo fuzz list --fuzz-dir "$crate/fuzz")
done
((failed == 0)) || finish

# Runs as many targets at once as there are cores.
for pair in "${pairs[@]}"; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
    # shellcheck disable=SC2086 # two words
    run $pair &
    server_pids+=($!) # stops with the stage
done
wait
server_pids=()
for pair in "${pairs[@]}"; do
    # shellcheck disable=SC2086 # two words
    report $pair
done
finish
