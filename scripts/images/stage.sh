#!/usr/bin/env bash
# stage.sh FOLDER BINARY...: lays what the Dockerfiles in images/ copy into FOLDER: our binaries without symbols; for the worker also libtorch and the
# weights. A folder whose name ends in -cuda gets libtorch's CUDA side too.
# They are the ones of `make build`: nothing is compiled inside an image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/setup/common.sh
say() { printf 'images: %s\n' "$*"; }

context=$1
shift
binaries=("$@")
release="${CARGO_TARGET_DIR:-target}/release"
mkdir -p "$context"/{bin,data,lib,lib-cuda,models}

# A copy that is newer than what it was made from is left alone: layers that did not change keep their hash.
for binary in "${binaries[@]}"; do
    [ -x "$release/$binary" ] || die "$release/$binary is missing; run make build"
    if [ ! "$context/bin/$binary" -nt "$release/$binary" ]; then
        strip --strip-all -o "$context/bin/.$binary" "$release/$binary"
        mv "$context/bin/.$binary" "$context/bin/$binary"
    fi
done

for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -r "$bundle" ]; then cp --update --preserve=timestamps "$bundle" "$context/certificates.crt"; break; fi
done
[ -e "$context/certificates.crt" ] || die "no bundle of certificate authorities here; install it: apt-get install ca-certificates"

case " ${binaries[*]} " in *" wtt-worker "*) ;; *) exit 0 ;; esac

[ -e .libtorch/lib/libtorch_cpu.so ] || die "libtorch is not staged; run make setup"
keep=()
for library in .libtorch/lib/*.so*; do
    cp --update --preserve=timestamps "$library" "$context/lib/"
    keep+=("${library##*/}")
done
# Of the libraries that the system gives, only the one that no slim base has.
soxr=$(ldd "$release/wtt-worker" | awk '$1 == "libsoxr.so.0" {print $3}')
cp --update --preserve=timestamps "$(readlink -f "$soxr")" "$context/lib/libsoxr.so.0"
keep+=(libsoxr.so.0)
if [[ "$context" == *-cuda ]]; then
    [ -d .libtorch/lib-cuda ] || die "the CUDA side of libtorch is not staged; run make setup-cuda"
    cp --update --preserve=timestamps .libtorch/lib-cuda/*.so* "$context/lib-cuda/"
fi
for library in "$context"/lib/*; do
    [[ " ${keep[*]} " == *" ${library##*/} "* ]] || rm -rf "$library"
done

# Apache-2.0, so it may be passed on; other networks' weights come from a volume.
weights="$cache/models/basic-pitch"
[ -e "$weights/model.safetensors" ] || die "the weights of basic-pitch are missing; run make models"
mkdir -p "$context/models/basic-pitch"
cp --update --preserve=timestamps "$weights"/* "$context/models/basic-pitch/"
