# shellcheck shell=bash
# From the table of jobs to a list of runs. Sourced by ci/numa.sh.
#
# A plan is a folder (fields are separated by tabs, MACHINE is ARCH/TOPOLOGY:KERNEL:GLIBC):
#   rows       ARCH PACKAGE TARGET MACHINE MODE SECONDS ARGUMENTS   what the table asks for
#   programs   ARCH PACKAGE TARGET FILE                             the test programs that were built
#   runs       MACHINE NAME MODE SECONDS FILE ARGUMENTS             what is to be run
#   out/N/     of machine N: the payload, and what machine.sh leaves
# ARGUMENTS are quoted for the shell. TARGET may be a pattern in `rows`, not in the others.

TAB=$'\t'

# wanted KIND VALUE: whether the options let this topology, kernel ... pass.
wanted() {
  [[ -z ${ONLY[$1]:-} || ${ONLY[$1]} == *" $2 "* ]]
}

# read_table PLAN: the rows of jobs.sh that the options let pass.
read_table() {
  PLAN=$1
  declare -gA MODES=() MACHINES=()
  mode() { MODES[$1]=$2; }
  machines() { MACHINES[$1]=${*:2}; }
  job() { add_rows "$@"; }
  . "$CI_DIR/rig/jobs.sh"
}

# add_rows PACKAGE TARGET MACHINES MODES SECONDS [ARGUMENT...]: one job of the table.
add_rows() {
  local machines machine mode arguments=
  { wanted package "$1" && wanted target "$2"; } || return 0
  [ $# -eq 5 ] || arguments=$(printf ' %q' "${@:6}")
  machines=$(resolve_machines "$3")
  for machine in $machines; do
    for mode in ${4//,/ }; do
      [ -n "${MODES[$mode]+set}" ] || { say "jobs.sh names the mode $mode, which does not exist"; exit 1; }
      if wanted mode "$mode"; then
        printf '%s\t' "${machine%%/*}" "$1" "$2" "$machine" "$mode" "$5" >>"$PLAN/rows"
        printf '%s\n' "$arguments" >>"$PLAN/rows"
      fi
    done
  done
}

# resolve_machines WORDS: the machines behind words of the table, in full, as far as the options let them pass.
resolve_machines() {
  local word machine arch topology kernel glibc
  for word in ${1//,/ }; do
    for machine in ${MACHINES[$word]:-$word}; do
      arch=x86_64
      [[ $machine != */* ]] || { arch=${machine%%/*} machine=${machine#*/}; }
      IFS=: read -r topology kernel glibc <<<"$machine"
      topology "$topology" || { say "jobs.sh names the machine $topology, which does not exist"; exit 1; }
      kernel=${kernel:-$DEFAULT_KERNEL} glibc=${glibc:-$DEFAULT_GLIBC}
      if wanted arch "$arch" && wanted topology "$topology" && wanted kernel "$kernel" && wanted glibc "$glibc"; then
        echo "$arch/$topology:$kernel:$glibc"
      fi
    done
  done | sort -u
}

# match_programs PLAN: the runs, from the rows and the programs that were built for them.
#
# A pattern takes every target that fits and that no row names in full. A name must fit.
match_programs() {
  local arch package pattern machine mode seconds arguments name target file found
  while IFS=$TAB read -r arch package pattern machine mode seconds arguments; do
    found=
    while IFS=$TAB read -r _ _ target file; do
      # shellcheck disable=SC2053 # it is a pattern
      [[ $target == $pattern ]] || continue
      [[ $target == "$pattern" ]] || ! cut -f2,3 "$1/rows" | grep -qxF "$package$TAB$target" || continue
      found=yes
      printf '%s\t' "$machine" "$package/$target" "$mode" "$seconds" "$file" >>"$1/runs"
      printf '%s\n' "$arguments" >>"$1/runs"
    done < <(grep "^$arch$TAB$package$TAB" "$1/programs")
    [[ -n $found || $pattern == *[*?[]* ]] || { say "jobs.sh names $package/$pattern, which is no test program"; exit 1; }
  done <"$1/rows"
}

# plan_program PLAN FILE [ARGUMENT...]: this program on every machine that the options name.
plan_program() {
  local topology kernel glibc mode name
  [ -e "$2" ] || { say "there is no $2"; exit 2; }
  read_table "$1"
  name=$(basename "$2")
  for topology in ${ONLY[topology]:-n4}; do
    for kernel in ${ONLY[kernel]:-$DEFAULT_KERNEL}; do
      for glibc in ${ONLY[glibc]:-$DEFAULT_GLIBC}; do
        for mode in ${ONLY[mode]:-plain}; do
          printf '%s\t' "$(program_arch "$2")/$topology:$kernel:$glibc" "$name" "$mode" 600 "$2" >>"$1/runs"
          { [ $# -eq 2 ] || printf ' %q' "${@:3}"; echo; } >>"$1/runs"
        done
      done
    done
  done
}
