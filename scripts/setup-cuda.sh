#!/usr/bin/env bash
# Brings the CUDA side of libtorch into .libtorch/lib-cuda, from where a worker opens it at run time. Only for machines with an NVIDIA GPU.
# It has to be the side that belongs to the staged libtorch: `make setup` goes first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh
source scripts/setup/download.sh
source scripts/setup/libtorch.sh

cuda="$libtorch/lib-cuda"
cuda_manifest=scripts/setup/libtorch-cuda.sha256

# The manifest's own hash, and the size and time of each library when it was checked.
fingerprint() {
    sha256sum <"$cuda_manifest"
    (cd "$1" && stat -c '%n %s %Y' ./*.so*)
}

if [ -f "$cuda/.stamp" ] && [ "$(fingerprint "$cuda")" = "$(cat "$cuda/.stamp")" ]; then
    say "the CUDA side is there"
    exit
fi

exec 9>"$cache/.libtorch.lock"
flock 9
work=$(mktemp -d "$cache/.libtorch-cuda-XXXXXX")
trap 'rm -rf "$work"' EXIT
say "downloading the CUDA side of libtorch (13 wheels, 2.4 GB; once)"
pip_download "$work/wheels" scripts/setup/libtorch-cuda-requirements.txt
say "unpacking it into $cuda"
python3 scripts/setup/unpack_wheels.py cuda "$work/wheels" "$work"
(cd "$work/lib-cuda" && sha256sum --quiet --strict --check -) <"$cuda_manifest" || die "what came out of the wheels is not what $cuda_manifest says"
fingerprint "$work/lib-cuda" >"$work/lib-cuda/.stamp"
if [ -e "$cuda" ]; then mv "$cuda" "$work/old"; fi
mv "$work/lib-cuda" "$cuda"
say "the CUDA side is there"
