#!/usr/bin/env bash
# Plays pieces whose notes are known, has every network transcribe them, prints the table, and counts again with mir_eval.
# usage: run.sh [OPTION...]   (options of target/release/eval; MODELS=a,b chooses the networks)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/setup/common.sh

requirements=scripts/eval/requirements.txt

missing_packages() {
    command -v fluidsynth >/dev/null || echo fluidsynth
    [ -e /usr/share/sounds/sf2/FluidR3_GM.sf2 ] || echo fluid-soundfont-gm
    [ -e /usr/share/sounds/sf2/TimGM6mb.sf2 ] || echo timgm6mb-soundfont
    [ -e /usr/share/sounds/sf3/MuseScore_General_Lite.sf3 ] || echo musescore-general-soundfont-small
}

# The synthesiser and three soundfonts, 200 MB; nothing but this command needs them, so `make setup` leaves them out.
install_synthesiser() {
    local missing as_root=""
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    local by_hand="as root: apt-get update && apt-get install --no-install-recommends $missing"
    command -v apt-get >/dev/null || die "missing: $missing(Debian's names), and there is no apt-get here"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || die "missing: $missing; install them $by_hand"
        as_root="sudo -n"
    fi
    say "installing Debian packages: $missing"
    # shellcheck disable=SC2086
    $as_root bash scripts/setup/install_packages.sh $missing || die "apt-get failed; try it by hand, $by_hand"
}

environment() {
    local python venv
    python=$(command -v python3)
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12)])' || die "the cross-check needs Python 3.11 or 3.12, for which $requirements is pinned"
    venv="$cache/eval-$(sha256sum <"$requirements" | cut -c1-12)"
    if [ ! -e "$venv/.complete" ]; then
        say "installing mir_eval into $venv (120 MB, once)" >&2
        rm -rf "$venv"
        "$python" -m venv "$venv" || die "no environment could be made; install it: apt-get install python3-venv"
        "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
            --requirement "$requirements" >&2 || die "the installation failed; the lines above say why"
        touch "$venv/.complete"
    fi
    printf '%s\n' "$venv/bin/python3"
}

install_synthesiser
python=$(environment)
# Without MODELS every network that has published weights is counted; basic-pitch is there before this is called.
case ${MODELS-harmonica} in *harmonica*) target/release/wtt models pull harmonica ;; esac
case ${MODELS-transkun} in *transkun*) target/release/wtt models pull transkun ;; esac
target/release/eval "$@"
folder=target/eval
while [ $# -gt 0 ]; do
    case $1 in --folder) folder=${2:-} ;; --folder=*) folder=${1#--folder=} ;; esac
    shift
done
"$python" scripts/eval/crosscheck.py "$folder/pairs.json" || die "mir_eval counts differently: the rows of this run, in the documents too with --write-docs, are not to be trusted (git checkout docs takes them back)"
