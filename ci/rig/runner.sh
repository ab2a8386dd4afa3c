#!/bin/bash
# runner.sh [TOPOLOGY] BINARY [ARGUMENT...]: runs one program in one emulated machine and passes on its output and its
# exit status (125 if the machine did not come up or went down). As a runner for cargo:
#
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/ci/rig/runner.sh n4" cargo test -p numaslab-numa
#
# In the environment: RIG_KERNEL (6.1, 6.12, 7.2), RIG_GLIBC (2.36, 2.41), RIG_SECONDS (how long it may take), RIG_MODE
# (shell text to run first in the machine, such as 'export NUMASLAB_RSEQ=off').
set -uo pipefail
here=$(dirname "$0")
. "$here/common.sh"
. "$here/topology.sh"
. "$here/payload.sh"

machine=n4
if topology "${1:-}"; then
  machine=$1
  shift
fi
[ $# -gt 0 ] || { say "usage: runner.sh [TOPOLOGY] BINARY [ARGUMENT...] (topologies: $TOPOLOGIES)"; exit 2; }
binary=$1
shift
arch=$(program_arch "$binary")
"$here/prepare.sh" "$arch" || exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=$(basename "$binary")
add_program "$work/payload" "$binary" "$name"
add_job "$work/payload" 1 "${RIG_SECONDS:-300}" "${RIG_MODE:-}" "$machine" "$name" "$@"
"$here/machine.sh" "$arch" "$machine" "${RIG_KERNEL:-6.12}" "${RIG_GLIBC:-2.36}" "$work/payload" "$work/out" --follow || exit 125
read -r status _ <"$work/out/1.status"
[ "$status" != died ] || { tail -n 40 "$work/out/kernel.log" >&2; exit 125; }
exit "$status"
