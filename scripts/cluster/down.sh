#!/usr/bin/env bash
# Takes a cluster down, whatever state it is in: down.sh [NAME]. Twice does no harm. Leaves the binaries in the cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh
source scripts/cluster/node.sh

name=${1:-dev}
state="$clusters/$name"
if [ ! -d "$state" ]; then
    say "no cluster named $name"
    exit 0
fi
[ "$(id -u)" = 0 ] || die "taking a cluster down needs root"

node=$(node_pid)
if [ -n "$node" ]; then
    # The end of process 1 is the end of every process of the node, containers included.
    kill -KILL "$node" 2>/dev/null || true
    wait_for 20 "the end of the node" test ! -e "/proc/$node"
fi
if [ -e "$state/run/network" ]; then
    addresses
    ip link del "$link" 2>/dev/null || true
fi
wait_for 20 "the end of the control groups" bash -c "$(declare -f cgroup_trees remove_cgroups); name=$name; remove_cgroups; for tree in \$(cgroup_trees); do test ! -d \$tree/whatsthetab-$name || exit 1; done"
rm -rf --one-file-system "$state"
say "cluster $name is gone"
