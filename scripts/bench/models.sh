#!/usr/bin/env bash
# Times Basic Pitch beside the published package on onnxruntime, in turns, on the same recordings.
# usage: models.sh [SECONDS...]   (lengths of the piano recordings; 40 and 600 without any)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=$(scripts/parity/run.sh --environment)
exec "$python" scripts/bench/models.py "$@"
