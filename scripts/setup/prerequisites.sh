# What nobody can install for the caller: the machine's kind, Python and Rust. Sourced by setup.sh.

check_prerequisites() {
    [ "$(uname -sm)" = "Linux x86_64" ] || die "libtorch is pinned for Linux on x86-64, and this is $(uname -sm); see docs/decisions/0002-libtorch.md"
    command -v python3 >/dev/null || die "python3 is missing; install it: apt-get install python3"
    command -v cargo >/dev/null || die "Rust is missing; install it with rustup (https://www.rust-lang.org/tools/install), then run make setup again"

    local version minor
    # Fails where rustup lacks the pinned toolchain and may not fetch it by itself.
    version=$(rustc --version 2>/dev/null) ||
        die "the Rust toolchain of rust-toolchain.toml is missing; install it: rustup toolchain install $(pinned_rust) --component rustfmt --component clippy"
    minor=$(printf '%s' "$version" | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge "$(minimum_rust_minor)" ] || die "$version is too old; Rust $(pinned_rust) is what the project is built with"
}

pinned_rust() { sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml; }

minimum_rust_minor() { sed -n 's/^rust-version *= *"1\.\([0-9]*\).*/\1/p' Cargo.toml; }
