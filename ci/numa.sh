#!/bin/bash
# ci/numa.sh: the multi-node lane. Boots emulated machines with several NUMA nodes (ci/rig/README.md) and runs the
# workspace's tests in them.
#
#   ci/numa.sh                                  all jobs of ci/rig/jobs.sh
#   ci/numa.sh --topology n4 --kernel 6.1       only those on such machines
#   ci/numa.sh --package numaslab --target lib  only those of such programs
#   ci/numa.sh --topology n8 -- BINARY [ARG]... this program instead, on n4 or the machine named
#   ci/numa.sh --list                           what would be run
#
# Options: --arch, --topology, --kernel, --glibc, --mode, --package, --target (each several times if need be),
# --with FILE (also put beside the program after --), --jobs N (machines at a time, 2 by default), --list.
#
# Ends with a line `N passed, N failed`, and with status 0 if nothing failed, 1 if something did, 2 for a wrong call,
# 77 with a loud SKIPPED if the lane cannot run here. Logs: RIG_DIR/log, RIG_DIR being target/rig by default.
set -euo pipefail
. "$(dirname "$0")/rig/common.sh"
. "$CI_DIR/rig/topology.sh"
. "$CI_DIR/rig/payload.sh"
. "$CI_DIR/rig/plan.sh"
. "$CI_DIR/rig/build.sh"
. "$CI_DIR/rig/report.sh"

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
  exit "$1"
}

declare -A ONLY=()
at_once=2 list='' program=() WITH=()
while [ $# -gt 0 ]; do
  case $1 in
    --arch | --topology | --kernel | --glibc | --mode | --package | --target)
      [ $# -gt 1 ] || usage 2
      ONLY[${1#--}]+=" $2 "
      shift
      ;;
    --with) WITH+=("${2:?a file is missing}"); shift ;;
    --jobs) at_once=${2:?a number is missing}; shift ;;
    --list) list=yes ;;
    --help | -h) usage 0 ;;
    --) shift; program=("$@"); break ;;
    *) say "unknown argument $1"; usage 2 ;;
  esac
  shift
done

need column=bsdextrautils
plan=$(mktemp -d)
cleanup() {
  local machines
  machines=$(jobs -p)
  # shellcheck disable=SC2086 # one word each
  [ -z "$machines" ] || kill $machines 2>/dev/null || true
  rm -rf "$plan"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
for name in ${ONLY[topology]:-}; do
  topology "$name" || { say "no machine is called $name; there are $TOPOLOGIES"; exit 2; }
done
if [ ${#program[@]} -gt 0 ]; then
  plan_program "$plan" "${program[@]}"
else
  read_table "$plan"
  [ -s "$plan/rows" ] || { say "no job fits"; exit 2; }
  build_tests "$plan"
  match_programs "$plan"
fi
if [ -n "$list" ]; then
  cut -f1-3 "$plan/runs" | column -t -s "$(printf '\t')"
  exit 0
fi

# shellcheck disable=SC2046 # one word each
"$CI_DIR/rig/prepare.sh" $(cut -f1 "$plan/runs" | cut -d/ -f1 | sort -u)
say "$(wc -l <"$plan/runs") runs on $(cut -f1 "$plan/runs" | sort -u | wc -l) machines, $at_once at a time"
run_machines "$plan" "$at_once"
report "$plan"
