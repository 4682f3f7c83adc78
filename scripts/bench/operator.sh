#!/usr/bin/env bash
# Measures the operator: operator.sh [--short] [ARGUMENTS OF bench-operator]. A control plane of its own without a node, kwok for the pods; both go at the end,
# whatever happens. Needs root, as `make cluster` does. Logs of a run that failed stay in target/bench-operator.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh

release="${CARGO_TARGET_DIR:-target}/release"
name=bench-$$
folder=$(mktemp -d)
kept=target/bench-operator

clean_up() {
    local status=$?
    if [ $status != 0 ]; then
        rm -rf "$kept" && mkdir -p "$kept"
        cp "$folder"/*.log "$clusters/$name"/log/*.log "$clusters/$name"/log/audit.json "$kept/" 2>/dev/null || true
        printf 'bench-operator: logs lie in %s\n' "$kept" >&2
    fi
    rm -rf "$folder"
    scripts/cluster/down.sh "$name"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

scripts/cluster/build.sh "${control_plane[@]}" kwok >/dev/null
scripts/cluster/up.sh --control-plane "$name"
scripts/cluster/fleet.sh "$name" kwok
export PATH="$bin:$PATH" KUBECONFIG="$clusters/$name/admin.kubeconfig"
"$release/wtt-operator" crd | kubectl apply --server-side --filename - >/dev/null
kubectl wait --for=condition=Established --timeout=30s crd/transcriptionjobs.whatsthetab.dev crd/workerpools.whatsthetab.dev >/dev/null
kubectl create namespace whatsthetab >/dev/null
kubectl create serviceaccount --namespace whatsthetab wtt-operator >/dev/null
kubectl apply --filename manifests/install/rbac.yaml >/dev/null
"$release/bench-operator" --programs "$release" --audit-log "$clusters/$name/log/audit.json" --folder "$folder" "$@"
