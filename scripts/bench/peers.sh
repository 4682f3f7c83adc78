#!/usr/bin/env bash
# Makes the peers of bench-queue ready in our cache, from pinned versions, and prints a line for each:
# `NAME<TAB>run<TAB>COMMAND<TAB>ARGUMENT` or `NAME<TAB>missing<TAB>WHY`. What is missing stops nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/setup/common.sh

peers=bench/peers
root="$cache/bench"
mkdir -p "$root"

fingerprint() { cat "$@" | sha256sum | cut -c1-12; }
missing() { printf '%s\tmissing\t%s\n' "$1" "$2"; }

asynq() {
    if ! command -v go >/dev/null; then
        missing asynq "no go; install Go 1.26 or later from https://go.dev/dl"
        return
    fi
    local program
    program="$root/asynq-$(fingerprint $peers/asynq/*)"
    if [ ! -x "$program" ] && ! (cd $peers/asynq && go build -o "$program" .) >&2; then
        missing asynq "go build failed, see above (it needs Go 1.26 and, once, the network)"
        return
    fi
    printf 'asynq\trun\t%s\n' "$program"
    printf 'asynq, kept 24 h\trun\t%s\t--retained\n' "$program"
}

bullmq() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        missing BullMQ "no node or npm; install them: apt-get install nodejs npm (node 20 or later)"
        return
    fi
    local folder
    folder="$root/bullmq-$(fingerprint $peers/bullmq/*)"
    if [ ! -e "$folder/.complete" ]; then
        rm -rf "$folder"
        cp -r $peers/bullmq "$folder"
        if ! (cd "$folder" && npm install --silent --no-save --ignore-scripts --no-audit --no-fund) >&2; then
            missing BullMQ "npm install failed, see above (it needs the network once)"
            return
        fi
        touch "$folder/.complete"
    fi
    printf 'BullMQ\trun\tnode\t%s\n' "$folder/cycle.mjs"
}

rq() {
    if ! command -v python3 >/dev/null; then
        missing RQ "no python3; install it: apt-get install python3 python3-venv"
        return
    fi
    local folder
    folder="$root/rq-$(fingerprint $peers/rq/*.py $peers/rq/requirements.txt)"
    if [ ! -e "$folder/.complete" ]; then
        rm -rf "$folder"
        if ! { python3 -m venv "$folder" && "$folder/bin/python3" -m pip install --quiet --disable-pip-version-check --no-deps \
            --require-hashes --only-binary=:all: --requirement $peers/rq/requirements.txt; } >&2; then
            missing RQ "the installation failed, see above (it needs python3-venv and, once, the network)"
            return
        fi
        cp $peers/rq/*.py "$folder/"
        touch "$folder/.complete"
    fi
    printf 'RQ, forking\trun\t%s\t%s\n' "$folder/bin/python3" "$folder/cycle.py"
    printf 'RQ, SimpleWorker\trun\t%s\t%s\t--simple\n' "$folder/bin/python3" "$folder/cycle.py"
}

asynq
bullmq
rq
