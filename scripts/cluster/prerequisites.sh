#!/usr/bin/env bash
# Debian packages and rights that a cluster without Docker needs; what is missing is installed, or named with its cure.
# --control-plane: only what a cluster without a node needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh

[ "$(uname -sm)" = "Linux x86_64" ] || die "the cluster without Docker runs on Linux on x86-64; elsewhere install Docker and kind"
[ "$(id -u)" = 0 ] || die "the cluster without Docker makes namespaces and so needs root; or install Docker and kind, which do not"
unshare --net --mount --pid --fork true 2>/dev/null || die "this machine does not let root make namespaces (a container without privileges?); run where it does, or install Docker and kind"

missing=()
if [ "${1:-}" != --control-plane ]; then
    command -v runc >/dev/null || [ -x /usr/sbin/runc ] || missing+=(runc)
    [ -x "$(cni_folder)/bridge" ] || missing+=(containernetworking-plugins)
    command -v iptables >/dev/null || [ -x /usr/sbin/iptables ] || missing+=(iptables)
    command -v buildah >/dev/null || missing+=(buildah)
fi
command -v ip >/dev/null || missing+=(iproute2)
command -v openssl >/dev/null || missing+=(openssl)
command -v nsenter >/dev/null || missing+=(util-linux)
if [ ${#missing[@]} -gt 0 ]; then
    say "installing Debian packages: ${missing[*]}"
    bash scripts/setup/install_packages.sh "${missing[@]}" >/dev/null || die "apt-get failed; by hand: apt-get install --no-install-recommends ${missing[*]}"
fi
