#!/usr/bin/env bash
# The published API compared with the last release. It runs only by name: compiling the tool takes minutes.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
tag=$(git tag --list 'v[0-9]*' --sort=-v:refname | head -n 1)
if [ -z "$tag" ]; then
    note "no release yet: no tag v* to compare with"
    ok "no release yet"
    finish
fi
retry cargo install --quiet --locked --root "$out/semver" --version 0.51.0 cargo-semver-checks # nothing to do the second time
export PATH=$out/semver/bin:$PATH
for crate in clws-proto clws-handshake clws-server; do
    check "$crate since $tag" cargo semver-checks --package "$crate" --baseline-rev "$tag" --all-features
done
finish
