# Words and paths that the cluster's scripts share; sourced from the root of the work tree, never run.

source scripts/setup/common.sh
say() { printf 'cluster: %s\n' "$*"; }
die() {
    printf 'cluster: %s\n' "$*" >&2
    exit 1
}

# The version of Kubernetes is the one that the pinned module names.
KUBE=$(sed -n 's/^.*k8s\.io\/kubernetes v\([0-9.]*\).*$/\1/p' e2e/tools/kubernetes/go.mod | head -1)
# The checksums of every module name the folder: another pin is another folder, and nothing of an older one is taken for the new one.
tools_hash=$(cat e2e/tools/{kubernetes,etcd,containerd,coredns,helm,kwok}/go.sum | sha256sum | cut -c1-12)
bin="$cache/cluster/v$KUBE-$tools_hash/bin"

# What answers as a cluster without a node.
control_plane=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl)

check_go() {
    local version minor
    command -v go >/dev/null || die "Go is missing, and the cluster is built from source: install Go 1.26 or later (https://go.dev/dl/), or install Docker and kind"
    version=$(GOTOOLCHAIN=local go env GOVERSION)
    minor=$(sed -n 's/^go1\.\([0-9]*\).*/\1/p' <<<"$version")
    [ "${minor:-0}" -ge 26 ] || die "$version is too old to build Kubernetes $KUBE: install Go 1.26 or later (https://go.dev/dl/)"
}

# What belongs to running clusters, one folder each. Sockets have short names, so it does not lie below the cache.
clusters=/var/tmp/whatsthetab-clusters
mkdir -p "$clusters"

cni_folder() {
    local folder
    for folder in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
        if [ -x "$folder/bridge" ]; then echo "$folder"; return; fi
    done
    echo /usr/lib/cni
}
