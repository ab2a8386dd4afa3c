# shellcheck shell=bash
# Shared by the parts of ci/deploy.sh. Sourced, in the root of the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# A folder that is gone at the end.
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# skip WHY: ends the part, loudly.
skip() {
    printf '\n*** SKIPPED: %s did not run: %s ***\n' "$(basename "$0" .sh)" "$*" >&2
    exit 77
}

# less WHY: says loudly that a part of the part is left out.
less() {
    printf '\n*** NOT CHECKED: %s ***\n\n' "$*" >&2
}

# need COMMAND=PACKAGE...: installs the Debian packages of the commands that are missing; fails if it can't.
need() {
    local pair missing=()
    for pair; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "these packages are missing, and this is not root on Debian: ${missing[*]}" >&2
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
}

# expect STATUS COMMAND...: runs it, output and all, and demands that status.
expect() {
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    [ "$status" = "$wanted" ] || fail "status $status instead of $wanted: $*"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# is WHAT FOUND WANTED
is() {
    [ "$2" = "$3" ] || fail "$1: found '$2', wanted '$3'"
}
