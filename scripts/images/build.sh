#!/usr/bin/env bash
# build.sh [TARGET...]: builds images from the Dockerfiles in images/, with Docker where its daemon runs, else with buildah, and checks what our layers add.
# Targets: api operator worker (the default), worker-cuda, redis postgres (stand-ins for the official ones). Each lands in target/images/NAME.tar.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
say() { printf 'images: %s\n' "$*"; }
die() { printf 'images: %s\n' "$*" >&2; exit 1; }

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(api operator worker)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
out=target/images
mkdir -p "$out"

# name of the image | most that our layers may add, in MB
facts() {
    case $1 in
        api) echo "wtt-api:$version 60" ;;
        operator) echo "wtt-operator:$version 60" ;;
        worker) echo "wtt-worker:$version-cpu 520" ;;
        worker-cuda) echo "wtt-worker:$version-cuda 4200" ;;
        redis) echo "redis:7-bookworm 100" ;;
        postgres) echo "postgres:15-bookworm 200" ;;
        *) die "no image '$1'; there are api operator worker worker-cuda redis postgres" ;;
    esac
}

with_docker() { docker info >/dev/null 2>&1; }

if with_docker; then
    base=${BASE:-debian:bookworm-slim}
else
    command -v buildah >/dev/null || die "neither Docker nor buildah is here; install one: apt-get install --no-install-recommends buildah"
    # chroot and plain folders: what root may do on any machine, without a daemon, systemd or mounts.
    export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker
    store=$(mktemp -d "$out/.store-XXXXXX")
    trap 'rm -rf "$store"' EXIT
    buildah() { command buildah --root "$store/root" --runroot "$store/run" "$@"; }
    base=${BASE:-}
fi

# The base comes from this machine where none was named and no registry is asked.
local_base() {
    if [ -z "$base" ]; then
        rm -rf "$out/stand-ins/base"
        mkdir -p "$out/stand-ins/base"
        scripts/images/stand-in.sh base "$out/stand-ins/base"
        buildah bud --quiet --pull-never --tag localhost/base:local --file images/stand-ins/base.Dockerfile "$out/stand-ins" >/dev/null
        base=localhost/base:local
    fi
}

# What an image is made of; the same stamp, the same image.
stamp_of() {
    cat "$1" scripts/images/stand-in.sh images/stand-ins/*
    shift
    find "$@" -type f -printf '%p %s %T@\n' | sort
}

# One image: its archive is written only when something that goes into it has changed.
build() {
    local target=$1 name limit file folder inputs stamp started=$SECONDS added
    read -r name limit <<<"$(facts "$target")"
    file=images/${target%-cuda}.Dockerfile folder=target/images/context
    case $target in
        redis | postgres)
            if with_docker; then
                say "$name: the official image is pulled by the cluster"
                return
            fi
            file=images/stand-ins/$target.Dockerfile folder=$out/stand-ins inputs=(images/stand-ins)
            ;;
        worker*)
            [ "$target" = worker ] || folder=target/images/context-cuda
            scripts/images/stage.sh "$folder" wtt-worker
            inputs=("$folder"/{bin/wtt-worker,certificates.crt,lib,lib-cuda,models})
            ;;
        *)
            scripts/images/stage.sh "$folder" "wtt-$target"
            inputs=("$folder"/{"bin/wtt-$target",certificates.crt})
            ;;
    esac
    stamp=$(stamp_of "$file" "${inputs[@]}" | sha256sum)
    if [ -e "$out/$target.tar" ] && [ "$(cat "$out/$target.stamp" 2>/dev/null)" = "$stamp" ]; then
        say "$name: nothing has changed"
        return
    fi
    rm -f "$out/$target.tar" "$out/$target.stamp"
    if with_docker; then
        docker build --quiet --build-arg BASE="$base" --tag "$name" --file "$file" "$folder" >/dev/null
        docker save --output "$out/$target.tar" "$name"
    else
        local_base
        if [ "$folder" = "$out/stand-ins" ]; then
            rm -rf "${folder:?}/$target"
            mkdir -p "$folder/$target"
            scripts/images/stand-in.sh "$target" "$folder/$target"
        fi
        buildah bud --quiet --pull-never --layers=false --build-arg BASE="$base" --tag "$name" --file "$file" "$folder" >/dev/null
        buildah push --quiet "$name" "docker-archive:$out/$target.tar:docker.io/library/$name"
    fi
    added=$(python3 scripts/images/added.py "$out/$target.tar" "$(base_layers)")
    say "$name: our layers add $added MB (at most $limit), archive $(du -m "$out/$target.tar" | cut -f1) MB, $((SECONDS - started)) s"
    [ "$added" -le "$limit" ] || die "$name is too large: its layers add $added MB, and $limit MB is what it may; look at what the stage 'prebuilt' holds"
    echo "$stamp" >"$out/$target.stamp"
}

# How many layers the base has: those are not ours.
base_layers() {
    if with_docker; then
        docker image inspect --format '{{len .RootFS.Layers}}' "$base"
    else
        buildah inspect --type image --format '{{len .OCIv1.RootFS.DiffIDs}}' "$base"
    fi
}

for target in "${targets[@]}"; do
    build "$target"
done
