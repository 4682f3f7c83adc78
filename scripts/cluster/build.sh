#!/usr/bin/env bash
# Builds what a Kubernetes node consists of from the Go modules pinned in e2e/tools, once, into the cache; prints the folder with the binaries.
# Each binary is a step of its own, so that a build that was cut off goes on where it stopped.
# build.sh [BINARY...]: without any, all that a node needs; karpenter, the controller of node pools, has to be named.
# build.sh --missing: names what a node needs and the cache does not have yet, and builds nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh

# binary | module folder | package | what else the linker is told
table() {
    local stamp="-X k8s.io/component-base/version.gitVersion=v$KUBE -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$KUBE")"
    printf '%s|%s|%s|%s\n' \
        etcd etcd go.etcd.io/etcd/server/v3 "" \
        containerd containerd github.com/containerd/containerd/v2/cmd/containerd "" \
        containerd-shim-runc-v2 containerd github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 "" \
        ctr containerd github.com/containerd/containerd/v2/cmd/ctr ""
    for part in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        printf '%s|kubernetes|k8s.io/kubernetes/cmd/%s|%s\n' "$part" "$part" "$stamp"
    done
    printf '%s|%s|%s|%s\n' \
        coredns coredns github.com/coredns/coredns "" \
        helm helm helm.sh/helm/v4/cmd/helm "" \
        kwok kwok sigs.k8s.io/kwok/cmd/kwok ""
    printf 'karpenter|karpenter|sigs.k8s.io/karpenter/kwok|\n'
}

wanted() {
    local binary rest
    table | while IFS='|' read -r binary rest; do
        if [ $# = 0 ]; then [ "$binary" != karpenter ] || continue; else [[ " $* " == *" $binary "* ]] || continue; fi
        printf '%s|%s\n' "$binary" "$rest"
    done
}

missing() {
    wanted "$@" | while IFS='|' read -r binary module package flags; do
        [ -x "$bin/$binary" ] || printf '%s|%s|%s|%s\n' "$binary" "$module" "$package" "$flags"
    done
}

# Parts of the modules that are files, not binaries: kwok's stages, Karpenter's resource definitions.
copy_module_files() {
    local from to=$bin/../share
    if [ -x "$bin/kwok" ] && [ ! -d "$to/kwok" ]; then
        from=$(cd e2e/tools/kwok && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
        mkdir -p "$to/kwok.new" && cp -r --no-preserve=mode "$from/kustomize/stage/." "$to/kwok.new/" && mv "$to/kwok.new" "$to/kwok"
    fi
    if [ -x "$bin/karpenter" ] && [ ! -d "$to/karpenter" ]; then
        from=$(cd e2e/tools/karpenter && go list -m -f '{{.Dir}}' sigs.k8s.io/karpenter)
        mkdir -p "$to/karpenter.new" && cp --no-preserve=mode "$from"/pkg/apis/crds/*.yaml "$from"/kwok/apis/crds/*.yaml e2e/tools/karpenter/go.sum "$to/karpenter.new/" && mv "$to/karpenter.new" "$to/karpenter"
    fi
}

if [ "${1:-}" = --missing ]; then
    missing | cut -d'|' -f1
    exit
fi
mkdir -p "$bin"
exec 9>"$bin/../.lock"
flock 9
# The folder's name does not carry Karpenter's pin: with another one, what was built before goes.
cmp -s e2e/tools/karpenter/go.sum "$bin/../share/karpenter/go.sum" || rm -rf "$bin/karpenter" "$bin/../share/karpenter"
left=$(missing "$@")
if [ -n "$left" ]; then
    check_go
    say "building $(wc -l <<<"$left") binaries of Kubernetes $KUBE from source into $bin (once; $(wc -l <<<"$left") of $(wanted "$@" | wc -l) are missing, all of them take about 21 minutes on 2 cores)" >&2
    export CGO_ENABLED=0 GOCACHE="$cache/cluster/go-build" GOTOOLCHAIN=local GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath"
    mkdir -p "$GOCACHE"
    while IFS='|' read -r binary module package flags; do
        started=$SECONDS
        # To a name beside it first: a file with the right name is whole.
        (cd "e2e/tools/$module" && go build -mod=readonly -ldflags "-s -w $flags" -o "$bin/.$binary.new" "$package") >&2 || die "go build $package failed; the lines above say why (the modules come through GOPROXY=$(go env GOPROXY))"
        mv "$bin/.$binary.new" "$bin/$binary"
        say "$binary: $((SECONDS - started)) s, $(du -m "$bin/$binary" | cut -f1) MB" >&2
    done <<<"$left"
    # Gigabytes of intermediate objects that nothing needs again.
    [ -n "${KEEP_GO_CACHE:-}" ] || rm -rf "$GOCACHE"
fi
copy_module_files
printf '%s\n' "$bin"
