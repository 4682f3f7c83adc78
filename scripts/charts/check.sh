#!/usr/bin/env bash
# Lints and renders the charts and checks what comes out; with KUBECONFIG also asks that API server. helm is the caller's, else built from its module (3 minutes, once).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/cluster/common.sh
if ! command -v helm >/dev/null; then
    scripts/cluster/build.sh helm >/dev/null
    export PATH="$bin:$PATH"
fi
cargo build --release --quiet --bin e2e
"${CARGO_TARGET_DIR:-target}/release/e2e" --charts "$@"
