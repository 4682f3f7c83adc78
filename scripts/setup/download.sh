# pip_download DIR REQUIREMENTS: fetches exactly the pinned files, whatever Python and pip are here. Sourced by what stages libtorch.

pip_download() {
    local python
    python=$(python_with_pip) || die "no pip, and no private environment could be made for one; install it: apt-get install python3-venv"
    "$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
        --platform manylinux_2_18_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$1" --requirement "$2" || die "the download failed; the lines above say why"
}
