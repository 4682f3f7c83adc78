#!/usr/bin/env bash
# fleet.sh NAME kwok [ARGUMENT...]: nodes labelled kwok.x-k8s.io/node=fake, and the pods on them, get ready and go as if somebody ran them. Nothing runs.
# fleet.sh NAME karpenter TYPES.json: the real Karpenter makes and removes such nodes as pods need them; the file names the types that it may choose from.
# Both are processes of the cluster's node and end with it; their output lies in its log folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh
source scripts/cluster/node.sh

name=$1 part=$2 state="$clusters/$1"
shift 2
node=$(node_pid)
[ -n "$node" ] || die "no cluster named $name"
scripts/cluster/build.sh "$part" >/dev/null
share="$bin/../share"
export KUBECONFIG="$state/admin.kubeconfig"
case $part in
    kwok)
        stages=()
        for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
            stages+=(--config "$share/kwok/$stage.yaml")
        done
        start kwok "$bin/kwok" --kubeconfig "$KUBECONFIG" --manage-all-nodes=false --manage-nodes-with-label-selector=kwok.x-k8s.io/node=fake \
            --node-lease-duration-seconds=40 "${stages[@]}" "$@"
        ;;
    karpenter)
        cp "$1" "$state/instance-types.json"
        "$bin/kubectl" apply --server-side -f "$share/karpenter" >/dev/null
        "$bin/kubectl" wait --for=condition=Established --timeout=30s crd/nodepools.karpenter.sh crd/nodeclaims.karpenter.sh crd/kwoknodeclasses.karpenter.kwok.sh >/dev/null
        # One process, so no election.
        start karpenter env DISABLE_LEADER_ELECTION=true SYSTEM_NAMESPACE=kube-system INSTANCE_TYPES_FILE_PATH="$state/instance-types.json" \
            METRICS_PORT=8080 HEALTH_PROBE_PORT=8081 "$bin/karpenter"
        ;;
    *) die "kwok or karpenter, not '$part'" ;;
esac
say "$part of cluster $name is started: $state/log/$part.log"
