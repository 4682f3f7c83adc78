# Words and paths that the scripts share; sourced, never run.

# Everything the project keeps outside the work tree lies here, and may be deleted at any time.
cache="$HOME/.cache/whatsthetab"

say() { printf 'setup: %s\n' "$*"; }

die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# A python3 whose `-m pip` works: the caller's own, else one in a private environment. pip's own configuration chooses the index.
python_with_pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        command -v python3
        return
    fi
    local venv="$cache/pip"
    if ! "$venv/bin/python3" -m pip --version >/dev/null 2>&1; then
        rm -rf "$venv"
        python3 -m venv "$venv" >&2 || return 1
    fi
    printf '%s\n' "$venv/bin/python3"
}
