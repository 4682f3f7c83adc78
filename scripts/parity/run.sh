#!/usr/bin/env bash
# Sets up the published package in an environment of its own and compares our output with it.
# usage: [MODEL=basic-pitch|harmonica[:SIZE]|transkun] run.sh [--recordings-only] [FILE...]   (without files: recordings made on the spot)
#        run.sh --environment                   (prints the environment's python)
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/setup/common.sh

model=${MODEL:-basic-pitch}
case $model in
    basic-pitch) requirements=scripts/parity/requirements.txt needs="300 MB" extra=() compare=(scripts/parity/compare.py) ;;
    harmonica | harmonica:*)
        requirements=scripts/parity/harmonica/requirements.txt needs="6 GB, torch and the CUDA libraries that it is linked to" extra=(--ignore-requires-python)
        compare=(scripts/parity/harmonica/compare.py "$model")
        ;;
    transkun)
        requirements=scripts/parity/transkun/requirements.txt needs="6 GB, torch and the CUDA libraries that it is linked to" extra=(--ignore-requires-python)
        compare=(scripts/parity/transkun/compare.py)
        ;;
    *) die "no package to compare $model with; MODEL is basic-pitch, harmonica[:nano|small|medium|large|x-large] or transkun" ;;
esac

# The wheels are pinned for these two.
find_python() {
    local candidate
    for candidate in python3 python3.11 python3.12; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "parity needs Python 3.11 or 3.12, for which $requirements is pinned"
}

# Prints the environment's python; builds it beside and renames it, so that half of one is never used.
environment() {
    local python version venv work
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
    venv="$cache/parity-$(sha256sum <"$requirements" | cut -c1-12)-py$version"
    if [ ! -e "$venv/.complete" ]; then
        say "installing the published package into $venv ($needs, once)" >&2
        mkdir -p "$cache"
        rm -rf "$venv"
        "$python" -m venv "$venv" || die "no environment could be made; install it: apt-get install python3-venv"
        "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: "${extra[@]}" \
            --requirement "$requirements" >&2 || die "the installation failed; the lines above say why"
        touch "$venv/.complete"
    fi
    printf '%s\n' "$venv/bin/python3"
}

python=$(environment)
if [ "${1:-}" = --environment ]; then
    printf '%s\n' "$python"
    exit
fi
if [ "${1:-}" = --recordings-only ]; then
    exec "$python" scripts/parity/make_recordings.py target/recordings
fi

files=()
for file in "$@"; do
    case $file in /*) files+=("$file") ;; *) files+=("$caller/$file") ;; esac
done
if [ ${#files[@]} = 0 ]; then
    # A piano's network is compared on pianos.
    if [ "$model" = transkun ]; then
        recordings=target/recordings-piano
        "$python" scripts/parity/transkun/make_recordings.py $recordings
    else
        recordings=target/recordings
        "$python" scripts/parity/make_recordings.py $recordings
    fi
    for file in "$recordings"/*; do
        files+=("$file")
    done
fi
[ "$model" = basic-pitch ] || target/release/wtt models pull "$model"
exec "$python" "${compare[@]}" "${files[@]}"
