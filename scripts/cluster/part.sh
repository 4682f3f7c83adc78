#!/usr/bin/env bash
# part.sh NAME stop|start apiserver: takes the API server of a cluster away, or brings it back, as an outage would. Used by tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh
source scripts/cluster/node.sh
source scripts/cluster/config.sh

name=$1 state="$clusters/$1"
node=$(node_pid)
[ -n "$node" ] || die "no cluster named $name"
[ "${3:-}" = apiserver ] || die "only the part apiserver can be stopped and started"
addresses
case $2 in
    stop)
        # Found by what runs in the node: the pid that was written down is the one of the program that entered it.
        pid=$(in_node pgrep -x kube-apiserver || true)
        [ -n "$pid" ] || die "the API server does not run"
        in_node kill -KILL "$pid"
        ;;
    start) start_apiserver ;;
    *) die "stop or start, not '$2'" ;;
esac
