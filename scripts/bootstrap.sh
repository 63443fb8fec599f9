#!/usr/bin/env bash
# Installs what a goal needs and the machine lacks; says what and why; silent when nothing is missing.
#
#   scripts/bootstrap.sh build          to compile: a C compiler, cmake, Rust
#   scripts/bootstrap.sh test           and rustfmt, clippy, Node, Python with venv
#   scripts/bootstrap.sh instructions   and valgrind
#
# Rust, Node and Python themselves are not installed: which of the many ways is the owner's choice.
set -euo pipefail

readonly RUST_MIN=1.95
readonly GOAL=${1:-build}

packages=()
reasons=()

have() { command -v "$1" >/dev/null 2>&1; }

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# lack PACKAGE REASON: notes a Debian package to install.
lack() {
    packages+=("$1")
    reasons+=("$1: $2")
}

check_rust() {
    have cargo || die "cargo is not on the PATH. Install Rust $RUST_MIN or newer: https://rustup.rs"
    local version
    version=$(cargo --version | awk '{ print $2 }')
    [ "$(printf '%s\n' "$RUST_MIN" "$version" | sort -V | head -n 1)" = "$RUST_MIN" ] ||
        die "cargo is $version, Flux needs $RUST_MIN or newer. Try: rustup update stable"
}

# A toolchain of rustup's minimal profile has neither.
check_rust_components() {
    local missing=()
    cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]} with rustup: \`make test\` checks format and lints"
    have rustup && rustup component add "${missing[@]}" >&2 && return
    say "warning: could not install ${missing[*]}; their checks are left out (in CI they fail)"
}

check_build() {
    have cc || lack gcc "compiles SQLite and the allocator"
    have make || lack make "is what cmake builds with"
    have cmake || lack cmake "builds zlib-ng, which Pingora links"
    # gcc does not bring the C headers with it on Debian.
    have cc && ! echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1 && lack libc6-dev "has the C headers"
    have cc || lack libc6-dev "has the C headers"
}

check_sdk_tests() {
    have python3 || lack python3 "runs the Python SDK tests"
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || lack python3-venv "keeps the Python SDKs out of the system"
    have node || lack nodejs "runs the Node SDK tests"
    have npm || lack npm "installs the Node SDKs"
}

install_packages() {
    [ ${#packages[@]} -eq 0 ] && return
    say "missing on this machine:"
    printf '  %s\n' "${reasons[@]}" >&2
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
    fi
    local command="${as_root[*]:+${as_root[*]} }apt-get install -y ${packages[*]}"
    have apt-get || die "install these with your package manager: ${packages[*]}"
    # Without a terminal a password cannot be asked for.
    if [ ${#as_root[@]} -gt 0 ] && { ! have sudo || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; }; then
        die "run this, then try again: $command"
    fi
    say "installing: $command"
    apt_install "${as_root[@]}" || die "could not install. Run: apt-get update && $command"
}

# apt_install [sudo]: a fresh machine has no package lists, so a first failure is answered with an update.
apt_install() {
    local install=("$@" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}")
    "${install[@]}" >/dev/null 2>&1 && return
    "$@" apt-get update -qq >&2 && "${install[@]}" >/dev/null
}

check_rust
check_build
case $GOAL in
    build) ;;
    test) check_sdk_tests ;;
    instructions) have valgrind || lack valgrind "counts the instructions" ;;
    *) die "unknown goal $GOAL" ;;
esac
install_packages
[ "$GOAL" != test ] || check_rust_components
