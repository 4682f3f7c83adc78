#!/usr/bin/env bash
# Times Transkun beside the published package, in turns, on the same recording.
# usage: transkun.sh [FILE]   (without one: a piano of LENGTH seconds, played with a soundfont)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target/release/wtt models pull transkun
python=$(MODEL=transkun scripts/parity/run.sh --environment)
exec "$python" scripts/bench/beside_transkun.py "$@"
