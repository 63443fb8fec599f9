#!/usr/bin/env bash
# All checks, stage by stage, with the time each took. Runs every stage, then fails if one did.
#
#   scripts/test.sh            all stages
#   scripts/test.sh lint sdk   only these
#
# The stages share the dev profile: `lint`, `pure` and `doc` share the dependencies' metadata, `rust` and `sdk`
# their object code. FLUX_CI=1 makes a missing tool a failure instead of a notice.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TARGET=${CARGO_TARGET_DIR:-target}
readonly STAGES=(fmt lint pure doc rust sdk)

stage_fmt() {
    tool_or_notice fmt || return 0
    cargo fmt --check
}

stage_lint() {
    tool_or_notice clippy || return 0
    cargo clippy --locked --all-targets -- -D warnings
}

# No step does I/O: the library has to build without a socket, a runtime or a database.
stage_pure() {
    if cargo clippy --version >/dev/null 2>&1; then
        cargo clippy --locked --lib --no-default-features -- -D warnings
    else
        cargo check --locked --lib --no-default-features
    fi
}

stage_doc() {
    RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib
}

# Unit, property, golden and process tests, the replayed fuzz corpus, tidy, and the examples in the documentation.
stage_rust() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast && cargo test --locked --doc
    else
        cargo test --locked --no-fail-fast
    fi
}

# The official SDKs against the debug binary that the tests have built.
stage_sdk() {
    if [ ! -x tests/sdk/run ]; then
        echo 'tests/sdk/run is not there yet'
        return 0
    fi
    # With the tests: alone, the binary would want dependencies without the tests' features, and build them again.
    cargo build --locked --bins --tests || return 1
    FLUX_BIN=$(realpath "$TARGET/debug/flux") tests/sdk/run
}

# tool_or_notice SUBCOMMAND: a lean toolchain must still be able to run the tests.
tool_or_notice() {
    cargo "$1" --version >/dev/null 2>&1 && return 0
    echo "cargo $1 is not installed"
    [ "${FLUX_CI:-0}" = 0 ] || exit 1
    return 1
}

run_stage() {
    local stage=$1 status=0 began=$SECONDS
    printf '\n=== %s\n' "$stage"
    # A subshell without `set -e` around the call: its own status is the stage's.
    ( "stage_$stage" ) || status=$?
    summary+=("$(printf '%-6s %4d s  %s' "$stage" $((SECONDS - began)) "$([ "$status" = 0 ] && echo ok || echo FAILED)")")
    [ "$status" = 0 ] || failed=$((failed + 1))
}

main() {
    local stage began=$SECONDS stages=("$@")
    [ $# -gt 0 ] || stages=("${STAGES[@]}")
    summary=()
    failed=0
    for stage in "${stages[@]}"; do
        declare -F "stage_$stage" >/dev/null || { echo "no stage $stage; there are: ${STAGES[*]}" >&2; exit 2; }
    done
    for stage in "${stages[@]}"; do
        run_stage "$stage"
    done
    printf '\n=== %d s in all\n' $((SECONDS - began))
    printf '%s\n' "${summary[@]}"
    echo "$((${#stages[@]} - failed)) stages passed, $failed failed"
    [ "$failed" = 0 ]
}

main "$@"
