#!/usr/bin/env bash
# Runs the end-to-end tests on a cluster of their own: e2e.sh [--short] [-- ARGUMENTS OF e2e]. kind where Docker runs, else a node in a namespace.
# Whatever happens, the cluster goes at the end (KEEP=1 leaves it). Prints the minutes of each part.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/cluster/common.sh

extent=normal
[ "${1:-}" != --short ] || { extent=short; shift; }
[ "${1:-}" != --full ] || { extent=full; shift; }
[ "${1:-}" != -- ] || shift
release="${CARGO_TARGET_DIR:-target}/release"
name=e2e-$$
began=$SECONDS

part() {
    local started=$SECONDS what=$1
    shift
    "$@" || { printf 'e2e: %s FAILED after %d s\n' "$what" $((SECONDS - started)); return 1; }
    printf 'e2e: %s: %d min %02d s\n' "$what" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
}

with_docker() { docker info >/dev/null 2>&1 && command -v kind >/dev/null; }

build_cluster() { scripts/cluster/prerequisites.sh && scripts/cluster/build.sh >/dev/null; }

bring_up() {
    if with_docker; then
        kind create cluster --quiet --name "$name" --image "kindest/node:v${KIND_KUBE:-$KUBE}" --kubeconfig "$state/kubeconfig"
    else
        scripts/cluster/up.sh "$name"
    fi
}

take_down() {
    if [ -n "${KEEP:-}" ]; then
        printf 'e2e: the cluster %s stays: export KUBECONFIG=%s; make cluster-down NAME=%s\n' "$name" "$KUBECONFIG" "$name"
    elif with_docker; then
        kind delete cluster --quiet --name "$name" || true
    else
        scripts/cluster/down.sh "$name"
    fi
}

load() {
    if with_docker; then
        for image in "$@"; do kind load image-archive --name "$name" "target/images/$image.tar"; done
    else
        local archives=("${@/#/target/images/}")
        scripts/cluster/load.sh "$name" "${archives[@]/%/.tar}"
    fi
}

images=(api worker redis postgres)
# Without the operator's binary the rest can still be tried.
if [ -x "$release/wtt-operator" ] && [ -z "${WITHOUT_OPERATOR:-}" ]; then
    images+=(operator)
    arguments=()
else
    arguments=(--without-operator)
fi
state=$(mktemp -d)
if with_docker; then
    export KUBECONFIG="$state/kubeconfig" E2E_HOST
    # The cluster pulls the official ones itself.
    read -r -a images <<<"$(tr ' ' '\n' <<<"${images[*]}" | grep -vx -e redis -e postgres | tr '\n' ' ')"
else
    part "binaries of the cluster" build_cluster
    export PATH="$bin:$PATH" KUBECONFIG="$clusters/$name/admin.kubeconfig"
fi
part "images" scripts/images/build.sh "${images[@]}"
trap take_down EXIT
part "cluster" bring_up
if with_docker; then
    E2E_HOST=$(docker network inspect kind --format '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 '\.')
else
    number=$(cat "$clusters/$name/run/network")
    export E2E_HOST="10.200.$number.1" E2E_VOLUMES="$clusters/$name/volumes" E2E_AUDIT_LOG="$clusters/$name/log/audit.json" E2E_MODELS="$cache/models"
    export E2E_PARTS="$state/parts"
    printf '#!/bin/sh\nexec scripts/cluster/part.sh %s "$@"\n' "$name" >"$state/parts"
    chmod +x "$state/parts"
fi
part "images into the cluster" load "${images[@]}"
part "tests ($extent)" "$release/e2e" --extent "$extent" "${arguments[@]}" "$@"
# Last, since it brings definitions of its own, which Helm would not take over.
part "charts at this API server" "$release/e2e" --charts
printf 'e2e: all in %d min %02d s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
