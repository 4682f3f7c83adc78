#!/usr/bin/env bash
# Times Harmonica beside the published package in both of its modes, in turns, on the same recordings.
# usage: harmonica.sh [SIZE...]   (nano, small and medium without any)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target/release/wtt models pull harmonica
python=$(MODEL=harmonica scripts/parity/run.sh --environment)
exec "$python" scripts/bench/beside_harmonica.py "$@"
