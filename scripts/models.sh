#!/usr/bin/env bash
# Brings the weights of the default network into the cache when they are absent. Downloads and checks are `wtt models pull`'s business.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh

# `wtt models pull` calls pip; where the caller's Python has none, the private one goes first.
python=$(python_with_pip) || die "no pip, and no private environment could be made for one; install it: apt-get install python3-venv"
case $python in "$cache"/*) PATH="$(dirname "$python"):$PATH" ;; esac

for model in basic-pitch; do
    target/release/wtt models pull "$model"
done
