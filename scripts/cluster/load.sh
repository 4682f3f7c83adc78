#!/usr/bin/env bash
# load.sh NAME FILE...: brings image archives into a cluster's node.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh
state="$clusters/$1"
shift
for archive in "$@"; do
    started=$SECONDS
    "$bin/ctr" --address "$state/run/containerd.sock" --namespace k8s.io images import "$archive" >/dev/null
    say "$archive is loaded ($((SECONDS - started)) s)"
done
