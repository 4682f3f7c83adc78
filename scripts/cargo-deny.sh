#!/usr/bin/env bash
# Prints the folder that holds the pinned cargo-deny, building it there first when it is absent (about a minute; a debug build is quick enough to run).
# It lives in our cache, never in the caller's own cargo folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh

version=0.20.2
root="$cache/tools/cargo-deny-$version"
if [ ! -x "$root/bin/cargo-deny" ]; then
    say "building cargo-deny $version into $root (once)" >&2
    mkdir -p "$root"
    build=$(mktemp -d "$cache/tools/.build-XXXXXX")
    trap 'rm -rf "$build"' EXIT
    toolchain=$(rustup show active-toolchain 2>/dev/null | cut -d' ' -f1 || true)
    # From outside the work tree, so that our linker flags do not get into it.
    (
        cd "$root"
        # shellcheck disable=SC2030
        if [ -n "$toolchain" ]; then export RUSTUP_TOOLCHAIN="$toolchain"; fi
        CARGO_TARGET_DIR="$build" CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$root" "cargo-deny@$version" >&2
    )
fi
printf '%s\n' "$root/bin"
