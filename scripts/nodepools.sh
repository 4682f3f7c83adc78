#!/usr/bin/env bash
# Tries workers on node pools that come and go: a control plane without a node, kwok, the real Karpenter, the operator (make e2e-nodepools; root).
# Whatever happens, all of it goes at the end (KEEP=1 leaves the cluster).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/cluster/common.sh

name=pools-$$
began=$SECONDS
scripts/cluster/prerequisites.sh --control-plane
scripts/cluster/build.sh "${control_plane[@]}" kwok karpenter >/dev/null

take_down() {
    if [ -n "${KEEP:-}" ]; then
        printf 'nodepools: the cluster stays: export KUBECONFIG=%s; make cluster-down NAME=%s\n' "$KUBECONFIG" "$name"
    else
        scripts/cluster/down.sh "$name"
    fi
}

export PATH="$bin:$PATH" KUBECONFIG="$clusters/$name/admin.kubeconfig" E2E_LOGS="$clusters/$name/log"
export E2E_OPERATOR="${CARGO_TARGET_DIR:-target}/release/wtt-operator"
trap take_down EXIT
scripts/cluster/up.sh --control-plane "$name"
scripts/cluster/fleet.sh "$name" kwok
scripts/cluster/fleet.sh "$name" karpenter e2e/nodepools/instance-types.json
"${CARGO_TARGET_DIR:-target}/release/e2e-nodepools" "$@"
printf 'nodepools: all in %d min %02d s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
