# Stages libtorch in the cache from pinned, hashed wheels and links it into the work tree as .libtorch. Sourced by setup.sh.
# The folder appears whole or not at all (built beside, then renamed); its stamp is written only after every hash was checked.

libtorch="$cache/libtorch-2.11.0-cu130"
manifest=scripts/setup/libtorch.sha256

# Cheap, for every run: the same manifest, and every library has the size and time that it had when its hash was last checked.
libtorch_fingerprint() {
    sha256sum <"$manifest"
    (cd "$1" 2>/dev/null && stat -c '%n %s %Y' lib/* include 2>/dev/null)
}

libtorch_is_stamped() { [ -f "$libtorch/.stamp" ] && [ "$(libtorch_fingerprint "$libtorch")" = "$(cat "$libtorch/.stamp")" ]; }

# Thorough: every library by its hash, and the headers by one hash over all of them.
libtorch_listing() {
    (
        cd "$1" || exit 1
        export LC_ALL=C
        sha256sum lib/*
        printf '%s  include\n' "$(find include -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)"
    )
}

libtorch_is_whole() { [ -d "$1/lib" ] && [ -d "$1/include" ] && [ "$(libtorch_listing "$1" 2>/dev/null)" = "$(cat "$manifest")" ]; }

build_libtorch() {
    local work
    # What an interrupted set-up left behind; the lock is ours.
    rm -rf "$cache"/.libtorch-??????
    work=$(mktemp -d "$cache/.libtorch-XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    say "downloading libtorch 2.11.0 (three wheels, 540 MB; once)"
    pip_download "$work/wheels" scripts/setup/libtorch-requirements.txt
    say "unpacking it into $libtorch"
    mkdir "$work/stage"
    python3 scripts/setup/unpack_wheels.py cpu "$work/wheels" "$work/stage"
    libtorch_is_whole "$work/stage" || die "what came out of the wheels is not what $manifest says; disk full, or a changed requirements file?"
    libtorch_fingerprint "$work/stage" >"$work/stage/.stamp"
    if [ -e "$libtorch" ]; then mv "$libtorch" "$work/old"; fi
    mv "$work/stage" "$libtorch"
    rm -rf "$work"
    trap - EXIT
}

stage_libtorch() {
    if ! libtorch_is_stamped; then
        mkdir -p "$cache"
        # Two set-ups at once: the second waits here, then finds the work done.
        exec 9>"$cache/.libtorch.lock"
        flock 9
        if libtorch_is_stamped; then
            :
        elif libtorch_is_whole "$libtorch"; then
            libtorch_fingerprint "$libtorch" >"$libtorch/.stamp"
        else
            build_libtorch
        fi
        exec 9>&-
    fi
    [ "$(readlink .libtorch)" = "$libtorch" ] || ln -sfn "$libtorch" .libtorch
}
