# Certificates and settings of the node's parts; sourced by up.sh, which has set `state`, `name`, `bin` and the addresses.

write_certificates() {
    (
        cd "$state/pki"
        local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
        openssl req -x509 "${key[@]}" -days 365 -keyout ca.key -out ca.crt -subj /CN=whatsthetab-cluster 2>/dev/null
        openssl req "${key[@]}" -keyout api.key -out api.csr -subj /CN=kube-apiserver 2>/dev/null
        # The service's address as well: pods reach the API server by it.
        openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out api.crt -extfile <(
            echo "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:$first_service,IP:127.0.0.1,IP:$node_ip"
        ) 2>/dev/null
        openssl genrsa -out sa.key 2048 2>/dev/null
        chmod 600 ./*.key
    )
    # One user a part, with the rights that Kubernetes has for it: what the operator may do is part of the tests, so nobody is let off.
    local part user groups token
    : >"$state/pki/tokens.csv"
    chmod 600 "$state/pki/tokens.csv"
    while read -r part user groups; do
        token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
        printf '%s,%s,%s,%s\n' "$token" "$user" "$user" "$groups" >>"$state/pki/tokens.csv"
        write_kubeconfig "$part" "$token"
    done <<EOT
admin admin system:masters
kubelet system:node:$name system:nodes
controllers system:kube-controller-manager
scheduler system:kube-scheduler
proxy system:kube-proxy
dns coredns
EOT
}

write_kubeconfig() {
    (umask 077 && cat >"$state/$1.kubeconfig") <<EOT
{"apiVersion": "v1", "kind": "Config", "current-context": "$name",
 "clusters": [{"name": "$name", "cluster": {"server": "https://$node_ip:6443", "certificate-authority-data": "$(base64 -w0 "$state/pki/ca.crt")"}}],
 "users": [{"name": "$1", "user": {"token": "$2"}}],
 "contexts": [{"name": "$name", "context": {"cluster": "$name", "user": "$1"}}]}
EOT
}

write_configuration() {
    cat >"$state/containerd.toml" <<EOT
version = 3
root = "$state/containerd/root"
state = "/run/containerd/state"
[grpc]
  address = "$state/run/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:local"
[plugins.'io.containerd.cri.v1.runtime']
  # A pod must not fail because this machine may not raise the score of its processes, or has no AppArmor.
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$(cni_folder)"]
  conf_dir = "$state/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "$bin/containerd-shim-runc-v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
  BinaryName = "$(command -v runc || echo /usr/sbin/runc)"
EOT
    # No masquerading: pods reach the machine and nothing beyond it, so no test can lean on the internet.
    cat >"$state/cni/10-bridge.conflist" <<EOT
{"cniVersion": "1.0.0", "name": "whatsthetab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_net"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$state/cni-addresses"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOT
    cat >"$state/kubelet.yaml" <<EOT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
# Neither systemd nor version 2 of the control groups is asked for.
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
cgroupRoot: /whatsthetab-$name
clusterDNS: [$node_ip]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$state/run/containerd.sock
resolvConf: $state/resolv.conf
volumePluginDir: $state/kubelet/plugins-exec
podLogsDir: $state/pod-logs
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageMinimumGCAge: 24h
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
EOT
    printf "nameserver %s\n" "$node_ip" >"$state/resolv.conf"
    cat >"$state/Corefile" <<EOT
.:53 {
  bind $node_ip
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $state/dns.kubeconfig $name
  }
  cache 5
}
EOT
    # Who asked for what: the audit of the operator's rights reads it, and benchmarks count writes by it.
    cat >"$state/audit-policy.yaml" <<EOT
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  # Which pods went, and when: benchmarks hold it against what those pods did.
  - level: Metadata
    users: ["system:serviceaccount:kube-system:replicaset-controller"]
    verbs: [delete]
    resources: [{group: "", resources: [pods]}]
  - level: None
    userGroups: [system:nodes, system:masters]
  - level: None
    users: ["system:kube-scheduler", "system:kube-controller-manager", "system:kube-proxy", "system:apiserver", coredns]
  - level: None
    userGroups: ["system:serviceaccounts:kube-system"]
  - level: Metadata
EOT
    cat >"$state/users.yaml" <<EOT
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: whatsthetab-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:node-proxier"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:kube-proxy"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: whatsthetab-dns}
rules:
  - apiGroups: [""]
    resources: [services, pods, namespaces]
    verbs: [list, watch]
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: whatsthetab-dns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: whatsthetab-dns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: coredns}]
EOT
}
