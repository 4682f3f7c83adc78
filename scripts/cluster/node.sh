# The node of a cluster: one process with namespaces of its own for network, mounts and processes. Sourced by up.sh and down.sh; needs `state` and `name`.
# Whatever kubelet and containers do happens in there, so that iptables rules, mounts and processes never touch the machine, and the end of that one
# process is the end of all of it.

# Its pid, seen from outside; nothing when it does not live (a recycled pid does not carry our name).
node_pid() {
    local pid
    pid=$(cat "$state/run/node.pid" 2>/dev/null) || return 0
    grep -qsa "whatsthetab-node-$name" "/proc/$pid/cmdline" || return 0
    # unshare stays outside and waits; its child is process 1 of the node.
    cat "/proc/$pid/task/$pid/children" 2>/dev/null | tr -d ' '
}

in_node() { nsenter --target "$node" --net --mount --pid -- "$@"; }

start_node() {
    # bash as process 1: it reaps what is orphaned, which shims of containers are by design. Its folders for passing state are private and empty.
    setsid unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private bash -c '
        mount --make-rshared /
        for folder in /run /var/log /var/lib; do mount -t tmpfs tmpfs "$folder"; done
        mkdir -p /run/netns /var/lib/cni
        ip link set lo up
        sysctl -qw net.ipv4.ip_forward=1
        sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null
        trap "exit 0" TERM
        : >"$0/run/node.ready"
        while :; do sleep 3600 & wait $!; done' "$state" "whatsthetab-node-$name" >"$state/log/node.log" 2>&1 </dev/null 8>&- 9>&- &
    echo $! >"$state/run/node.pid"
    wait_for 10 "the namespaces of the node" test -e "$state/run/node.ready"
    node=$(node_pid)
    [ -n "$node" ] || die "the node did not start: $(cat "$state/log/node.log")"
}

# start PART COMMAND...: a process of the node that outlives this script; its output goes to log/PART.log.
start() {
    local part=$1
    shift
    (cd "$state" && exec setsid nsenter --target "$node" --net --mount --pid -- "$@" >>"$state/log/$part.log" 2>&1 </dev/null 8>&- 9>&-) &
}

start_apiserver() {
    start apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --advertise-address "$node_ip" --bind-address "$node_ip" --secure-port 6443 \
        --service-cluster-ip-range "$service_net" --tls-cert-file "$state/pki/api.crt" --tls-private-key-file "$state/pki/api.key" \
        --client-ca-file "$state/pki/ca.crt" --token-auth-file "$state/pki/tokens.csv" --authorization-mode Node,RBAC \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$state/pki/sa.key" \
        --service-account-signing-key-file "$state/pki/sa.key" --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
        --audit-policy-file "$state/audit-policy.yaml" --audit-log-path "$state/log/audit.json" --audit-log-maxsize 1000
}

# A pair of interfaces joins the machine and the node; pods and services are reached through two routes.
connect_node() {
    ip link add "$link" type veth peer name eth0 netns "$node"
    ip addr add "$host_ip/24" dev "$link"
    ip link set "$link" up
    in_node ip addr add "$node_ip/24" dev eth0
    in_node ip link set eth0 up
    in_node ip route add default via "$host_ip"
    ip route add "$pod_net" via "$node_ip"
    ip route add "$service_net" via "$node_ip"
}

# The first number whose three networks nobody on this machine uses.
free_network() {
    local number taken
    taken=$(ip -4 route show table all; ip -4 addr show)
    for number in $(seq 10 99); do
        if ! grep -qE "10\.(200|201|202)\.$number\." <<<"$taken"; then
            echo "$number"
            return
        fi
    done
    die "none of 10.200.10.0/24 to 10.202.99.0/24 is free on this machine"
}

addresses() {
    local number
    number=$(cat "$state/run/network")
    link="wtt-$number" host_ip="10.200.$number.1" node_ip="10.200.$number.2"
    pod_net="10.201.$number.0/24" service_net="10.202.$number.0/24" first_service="10.202.$number.1"
}

# Below a control group of our own, so that leftovers can be told from others' and removed. Version 1 has a tree for each controller.
cgroup_trees() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        awk '$3 == "cgroup" {print $2}' /proc/mounts
    fi
}

make_cgroups() {
    local tree
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        for controller in cpu cpuset memory pids io hugetlb; do
            echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
        done
    fi
    for tree in $(cgroup_trees); do
        mkdir -p "$tree/whatsthetab-$name"
        # Version 1 starts a new cpuset without processors or memory.
        for file in cpuset.mems cpuset.cpus; do
            if [ -e "$tree/$file" ] && [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then cat "$tree/$file" >"$tree/whatsthetab-$name/$file"; fi
        done
    done
}

remove_cgroups() {
    local tree
    for tree in $(cgroup_trees); do
        [ -d "$tree/whatsthetab-$name" ] || continue
        find "$tree/whatsthetab-$name" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds, or dies saying what did not come.
wait_for() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || die "$what did not come up in time; logs lie in $state/log"
        sleep 0.2
    done
}
