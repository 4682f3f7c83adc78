#!/usr/bin/env bash
# Times MT3 beside PyTorch, both with the same random weights: the way of the PyTorch port, and a decoder with a cache. Takes its torch from the
# environment of the package transkun.
# usage: mt3.sh [PART...]   (equal, ragged)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=$(MODEL=transkun scripts/parity/run.sh --environment)
exec "$python" scripts/bench/beside_mt3.py "$@"
