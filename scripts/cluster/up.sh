#!/usr/bin/env bash
# Brings up a Kubernetes cluster of one node on this machine, without Docker: up.sh [--control-plane] [NAME]. Prints the line that points kubectl at it.
# API server, scheduler, controllers, kubelet, containerd, kube-proxy and CoreDNS are processes of one namespace (node.sh says which).
# --control-plane leaves it at etcd, API server, controllers and scheduler: a cluster whose nodes and pods others play (fleet.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh
source scripts/cluster/node.sh
source scripts/cluster/config.sh

only_control=
[ "${1:-}" != --control-plane ] || { only_control=1; shift; }
name=${1:-dev}
[[ "$name" =~ ^[a-z0-9-]{1,20}$ ]] || die "a cluster's name has lower-case letters, digits and dashes: not '$name'"
state="$clusters/$name"
began=$SECONDS
scripts/cluster/prerequisites.sh ${only_control:+--control-plane}
if [ -n "$only_control" ]; then scripts/cluster/build.sh "${control_plane[@]}" >/dev/null; else scripts/cluster/build.sh >/dev/null; fi
if [ -d "$state" ]; then
    node=$(node_pid)
    if [ -n "$node" ] && KUBECONFIG="$state/admin.kubeconfig" "$bin/kubectl" get --raw /readyz >/dev/null 2>&1; then
        say "cluster $name is up: export KUBECONFIG=$state/admin.kubeconfig"
        exit 0
    fi
    scripts/cluster/down.sh "$name"
fi
# Half a cluster is worse than none.
trap 'status=$?; [ $status = 0 ] || { tail -n 5 "$state"/log/*.log >&2 2>/dev/null || true; scripts/cluster/down.sh "$name"; }' EXIT
mkdir -p "$state"/{pki,log,cni,etcd,containerd,kubelet,run,volumes}
chmod 0711 "$clusters" "$state"
(
    flock 8
    free_network >"$state/run/network"
    addresses
    # Taken at once, so that a second cluster that starts now chooses another.
    start_node
    connect_node
) 8>"$clusters/.lock"
addresses
node=$(node_pid)
[ -n "$only_control" ] || make_cgroups
write_certificates
write_configuration

export KUBECONFIG="$state/admin.kubeconfig"

start etcd "$bin/etcd" --data-dir "$state/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
[ -n "$only_control" ] || start containerd "$bin/containerd" -c "$state/containerd.toml"
start_apiserver
wait_for 180 "the API server" "$bin/kubectl" get --raw /readyz
start controllers "$bin/kube-controller-manager" --kubeconfig "$state/controllers.kubeconfig" --service-account-private-key-file "$state/pki/sa.key" \
    --root-ca-file "$state/pki/ca.crt" --use-service-account-credentials --cluster-cidr "$pod_net" --service-cluster-ip-range "$service_net" \
    --bind-address 127.0.0.1 --leader-elect=false --kube-api-qps 100 --kube-api-burst 200
start scheduler "$bin/kube-scheduler" --kubeconfig "$state/scheduler.kubeconfig" --bind-address 127.0.0.1 --leader-elect=false
if [ -n "$only_control" ]; then
    wait_for 60 "the default service account" "$bin/kubectl" get serviceaccount default
    say "control plane $name is ready after $((SECONDS - began)) s: export KUBECONFIG=$state/admin.kubeconfig PATH=$bin:\$PATH"
    exit 0
fi
wait_for 30 containerd "$bin/ctr" -a "$state/run/containerd.sock" version
scripts/cluster/pause.sh "$state/run/pause.tar"
"$bin/ctr" -a "$state/run/containerd.sock" -n k8s.io images import "$state/run/pause.tar" >/dev/null
start kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$state/kubelet.kubeconfig" --root-dir "$state/kubelet" --hostname-override "$name" --node-ip "$node_ip"
start proxy "$bin/kube-proxy" --kubeconfig "$state/proxy.kubeconfig" --proxy-mode iptables --cluster-cidr "$pod_net" --hostname-override "$name" --conntrack-max-per-core 0
start dns "$bin/coredns" -conf "$state/Corefile"
"$bin/kubectl" apply -f "$state/users.yaml" >/dev/null
wait_for 180 "the node" bash -c "'$bin/kubectl' get node '$name' | grep -q ' Ready'"
# As long as it is not there pods are refused.
wait_for 30 "the default service account" "$bin/kubectl" get serviceaccount default
"$bin/kubectl" get node -o wide
say "cluster $name is ready after $((SECONDS - began)) s: export KUBECONFIG=$state/admin.kubeconfig PATH=$bin:\$PATH"
