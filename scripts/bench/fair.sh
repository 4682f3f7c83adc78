#!/usr/bin/env bash
# One long recording and many short ones in one worker. MODEL is an installed network, or mt3-tiny: MT3 with the small random weights of its tests.
# LONG_SECONDS, SHORT and SLOTS say how long, how many, and how many at once.
# usage: fair.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export MODEL=${MODEL:-basic-pitch}
if [ "$MODEL" = mt3-tiny ]; then
    MODEL=mt3
    WTT_MODELS_DIR=$PWD/target/bench-fair-models
    export WTT_MODELS_DIR
    small=transcription/tests/fixtures/mt3-tiny
    target/release/wtt models pull mt3 --from $small/weights.safetensors --config $small/golden.json
fi
echo "bench-fair: cargo test --release --workspace --test worker -- --ignored --nocapture fairness"
exec cargo test --release --workspace --test worker ${CI:+--locked} -- --ignored --nocapture fairness
