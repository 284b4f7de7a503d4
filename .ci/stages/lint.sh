#!/usr/bin/env bash
# Format, lints, documentation, and project rules that no compiler checks.
# shellcheck disable=SC2317 # the functions are called through check
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt git shellcheck
need_python

check "cargo fmt" cargo fmt --all --check
check "Cargo.lock is current" cargo metadata --locked --format-version 1
# The fuzz targets are separate workspaces.
for manifest in */fuzz/Cargo.toml; do
    check "cargo fmt, ${manifest%/Cargo.toml}" cargo fmt --check --manifest-path "$manifest"
    check "${manifest%.toml}.lock is current" cargo metadata --locked --format-version 1 --manifest-path "$manifest"
done
check "cargo clippy" cargo clippy --workspace --all-targets --all-features -- -D warnings
check "cargo clippy, no feature" cargo clippy -p clws-proto -p clws-handshake -p clws-server --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" check "cargo doc" cargo doc --workspace --no-deps --all-features
check "cargo package" cargo package --allow-dirty --no-verify -p clws-proto -p clws-handshake -p clws-server

# Only tracked files count.
top_level() {
    local want have
    want=$(printf '%s\n' .ci .github .gitignore ARCHITECTURE.md CHANGELOG.md Cargo.lock Cargo.toml LICENSE README.md benches \
        clippy.toml clws-examples clws-handshake clws-proto clws-server rustfmt.toml | sort)
    have=$(git ls-files | cut -d/ -f1 | sort -u)
    diff <(echo "$want") <(echo "$have")
}
check "top-level folders and files" top_level

readme_commands() {
    grep -F 'cargo run --release -p clws-examples --bin echo' README.md && grep -F 'cargo test --workspace' README.md
}
check "README has the two commands" readme_commands

check "source rules" python3 "$ci/checks/source_rules.py" "$root"
check "manifest rules" python3 "$ci/checks/manifest_rules.py" "$root"

check "names of CLWS" python3 "$ci/checks/clws_names.py" "$root"

mapfile -t scripts < <(git ls-files '.ci/*.sh' .ci/run)
check "shellcheck" shellcheck -x -P SCRIPTDIR "${scripts[@]}"
mapfile -t checks < <(git ls-files '.ci/checks/*.py' '.ci/interop/clients/*.py')
check "mypy" "$python" -m mypy --strict --no-error-summary --cache-dir "$out/mypy" "${checks[@]}"
finish
