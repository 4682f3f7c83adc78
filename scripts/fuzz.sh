#!/usr/bin/env bash
# Feeds arbitrary input to the fuzz targets, all or those named: scripts/fuzz.sh SECONDS [TARGET...]. Each target keeps what it has learned in
# fuzz/corpus (not in git) and starts from what scripts/fuzz-seeds.py makes. Needs the nightly toolchain, and a build of its own in fuzz/target. Stops at the first finding and says how to repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh

seconds=${1:-60}
shift || true
all=(decode scores notes weights checkpoint multipart routes)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")

if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    echo "fuzz: the nightly toolchain is missing; get it with: rustup toolchain install nightly --profile minimal" >&2
    exit 1
fi
version=0.13.1
tools="$cache/tools/cargo-fuzz-$version"
if [ ! -x "$tools/bin/cargo-fuzz" ]; then
    echo "fuzz: building cargo-fuzz $version into $tools (once)"
    build=$(mktemp -d)
    (cd / && CARGO_TARGET_DIR="$build" cargo install --quiet --locked --root "$tools" "cargo-fuzz@$version")
    rm -rf "$build"
fi
export PATH="$tools/bin:$PATH"
# cargo-fuzz replaces the linker flags of .cargo/config.toml, and with them where a binary finds libtorch.
export LD_LIBRARY_PATH="$PWD/.libtorch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# One job: a fuzz build is large, and nobody waits for it.
export CARGO_BUILD_JOBS="${FUZZ_JOBS:-1}"
# A target that is ended does not clean up: what it stored, and the folder of its Redis, go with this one.
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
case " ${targets[*]} " in
    *" multipart "* | *" routes "*)
        command -v redis-server >/dev/null || { echo "fuzz: multipart and routes need redis-server: apt-get install redis-server" >&2; exit 1; }
        ;;
esac

for target in "${targets[@]}"; do
    case "$target" in
        decode | scores) features=() limits=(-timeout=20 -rss_limit_mb=1024 -max_len=65536) ;;
        notes | weights) features=(--features network) limits=(-timeout=20 -rss_limit_mb=2048 -max_len=16384) ;;
        # A checkpoint may be a GiB of numbers, however short its file is.
        checkpoint) features=(--features network) limits=(-timeout=60 -rss_limit_mb=3072 -max_len=16384) ;;
        multipart | routes) features=(--features service) limits=(-timeout=20 -rss_limit_mb=2048 -max_len=16384) ;;
        *) echo "fuzz: there is no target \`$target\`; there are: ${all[*]}" >&2; exit 1 ;;
    esac
    corpus="fuzz/corpus/$target"
    mkdir -p "$corpus"
    python3 scripts/fuzz-seeds.py "$target" "$corpus"
    echo "fuzz: $target for $seconds s"
    # Without the address sanitizer: libtorch does not live with it, and our code has next to no \`unsafe\`.
    if ! cargo +nightly fuzz run "$target" --sanitizer none "${features[@]}" "$corpus" -- -max_total_time="$seconds" -print_final_stats=1 "${limits[@]}"; then
        echo "fuzz: $target found something; the input lies in fuzz/artifacts/$target. Repeat it with: cargo +nightly fuzz run $target --sanitizer none ${features[*]} FILE" >&2
        exit 1
    fi
done
echo "fuzz: nothing found by ${targets[*]}, $seconds s each"
