# Debian packages that the build and the tests need: finds what is missing and has it installed. Sourced by setup.sh.
# Each is looked for by what it gives, not by its name, so that other systems pass when they have the same.

missing_packages() {
    command -v redis-server >/dev/null || echo redis-server
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    command -v g++ >/dev/null && command -v cc >/dev/null || echo build-essential
    command -v ld.lld >/dev/null || echo lld
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists soxr 2>/dev/null || echo libsoxr-dev
}

install_missing_packages() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    missing=${missing% }
    [ -n "$missing" ] || return 0

    local by_hand="as root: apt-get update && apt-get install --no-install-recommends $missing"
    command -v apt-get >/dev/null || die "missing: $missing (Debian's names), and there is no apt-get here; install what gives the same"

    local as_root=""
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || die "missing: $missing. Neither root nor password-less sudo; install them $by_hand"
        as_root="sudo -n"
    fi
    say "installing Debian packages: $missing"
    # shellcheck disable=SC2086
    $as_root bash scripts/setup/install_packages.sh $missing || die "apt-get failed; try it by hand, $by_hand"

    missing=$(missing_packages | tr '\n' ' ')
    [ -z "$missing" ] || die "still missing after the installation: $missing(is another Python or tool of the same name first on PATH?)"
}
