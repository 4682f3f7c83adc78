#!/usr/bin/env bash
# Brings what the build and the tests need and is not there yet. Safe to run at any time: when all is there it takes a moment and no network.
# Prerequisites are make, python3 and Rust; what cannot be installed is named with the line that installs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source scripts/setup/common.sh
source scripts/setup/prerequisites.sh
source scripts/setup/packages.sh
source scripts/setup/download.sh
source scripts/setup/libtorch.sh

check_prerequisites
install_missing_packages
stage_libtorch
say "everything is there"
